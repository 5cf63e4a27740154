"""Right programs pass; nothing else does, whatever it tries."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orionlm.errors import UserError
from orionlm.tasks.grading import Check, grade_program, grade_programs
from orionlm.tasks.outcome import Outcome
from orionlm.tasks.sandbox import Limits, Sandbox

HUMANEVAL = Path(os.environ.get("ORION_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "humaneval.jsonl.gz"
LIMITS = Limits(cpu_seconds=1, wall_seconds=10)
QUICK = Limits(cpu_seconds=1, wall_seconds=0.5)

# A value that no input tells: only a program that found it, or fooled the grader, can pass.
SECRET = 715827883123
BY_CASES = {"entry_point": "f", "tests": [{"args": [[1, 2]], "expected": SECRET}]}
BY_TEST = {"entry_point": "f", "test": f"def check(candidate):\n    assert candidate([1, 2]) == {SECRET}\n"}
CHECKS = {"cases": BY_CASES, "test": BY_TEST}
ADD = {
    "cases": {"entry_point": "add", "tests": [{"args": [a, 2], "expected": a + 2} for a in (1, 5, -9)]},
    "test": {"entry_point": "add", "test": "def check(add):\n    assert add(1, 2) == 3\n    assert add(-9, b=2) == -7"},
}

EQUAL = "def __eq__(self, other): return True\n    def __ne__(self, other): return False\n    __hash__ = None"
FRAME = "import os, json\ndef send(x):\n    x = json.dumps(x).encode(); os.write(4, len(x).to_bytes(4, 'big') + x)\n"
EXPLOITS = {
    "exit-0": "import sys; sys.exit(0)",
    "exit-0-in-the-function": "import sys\ndef f(x): sys.exit(0)",
    "hard-exit-0": "import os; os._exit(0)",
    "hard-exit-0-in-the-function": "import os\ndef f(x): os._exit(0)",
    "hard-exit-0-by-posix": "import posix\ndef f(x): posix._exit(0)",
    "raise-system-exit": "def f(x): raise SystemExit(0)",
    "raise-keyboard-interrupt": "def f(x): raise KeyboardInterrupt",
    "raise-stop-iteration": "def f(x): raise StopIteration",
    "raise-generator-exit": "def f(x): raise GeneratorExit",
    "raise-assertion": "def f(x): raise AssertionError",
    "raise-named-passed": "class passed(BaseException): pass\ndef f(x): raise passed('passed')",
    "raise-with-surrogates": "def f(x): raise ValueError('\\ud800')",
    "raise-with-lying-text": "class E(Exception):\n    def __str__(self): import os; os._exit(0)\ndef f(x): raise E",
    "kill-itself": "import os, signal\ndef f(x): os.kill(os.getpid(), 9); os.abort()",
    "equal-to-everything": f"class E:\n    {EQUAL}\ndef f(x): return E()",
    "integer-equal-to-everything": f"class E(int):\n    {EQUAL}\ndef f(x): return E(1)",
    "text-equal-to-everything": f"class E(str):\n    {EQUAL}\ndef f(x): return E('1')",
    "list-equal-to-everything": f"class E(list):\n    {EQUAL}\ndef f(x): return E([1])",
    "float-equal-to-everything": f"class E(float):\n    {EQUAL}\ndef f(x): return E(1)",
    "dict-equal-to-everything": f"class E(dict):\n    {EQUAL}\ndef f(x): return E(a=1)",
    "tuple-equal-to-everything": f"class E(tuple):\n    {EQUAL}\ndef f(x): return E((1,))",
    "class-that-lies": f"class E:\n    {EQUAL}\n    __class__ = property(lambda self: int)\ndef f(x): return E()",
    "metaclass-that-lies": f"class M(type):\n    {EQUAL}\nclass E(int, metaclass=M):\n    {EQUAL}\n"
    f"def f(x): return E()",
    "class-itself": f"class M(type):\n    {EQUAL}\nclass E(metaclass=M): pass\ndef f(x): return E",
    "exceeds-everything": "class E(int):\n    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = lambda s, o: True\n"
    "def f(x): return E()",
    "subtracts-to-nothing": "class E(float):\n    __sub__ = __rsub__ = lambda s, o: 0.0\ndef f(x): return E(1)",
    "json-patched": "import json\njson.dumps = lambda *a, **k: '{\"passed\": true}'\ndef f(x): return 1",
    "codec-patched": "import sys\nm = sys.modules['orionlm.tasks.sandbox.codec']\n"
    "m.encode = lambda v, d=0: {'passed': True}\n"
    "def f(x): return 1",
    "frames-patched": "import sys\nm = sys.modules['orionlm.tasks.sandbox.frames']\nw = m.write\n"
    "m.write = lambda d, v: w(d, {'passed': True})\ndef f(x): return 1",
    "builtins-patched": "import builtins\nbuiltins.AssertionError = type('E', (BaseException,), {})\n"
    "builtins.isinstance = builtins.issubclass = lambda *a: True\nbuiltins.type = lambda *a: int\ndef f(x): return 1",
    "stdout-patched": "import sys\nclass O:\n    def __getattr__(self, n): return lambda *a: True\n"
    "sys.stdout = sys.stderr = O()\n"
    "def f(x): return 1",
    "open-patched": "import builtins, io\nbuiltins.open = lambda *a, **k: io.StringIO('passed')\ndef f(x): return 1",
    "prints-a-verdict": "print('passed', 'right', '{\"passed\": true}')\ndef f(x):\n    print('ok'); return 'passed'",
    "verdict-as-value": "def f(x): return {'passed': True}",
    "verdict-as-frame": FRAME + "def f(x): send({'passed': True}); return 1",
    "verdict-before-the-question": FRAME
    + "[send({'passed': True, 'returned': None}) for _ in range(9)]\ndef f(x): return 1",
    "question-as-frame": FRAME + "def f(x): send({'call': ['list'], 'named': ['dict']}); return 1",
    "unsupported-as-frame": FRAME + "def f(x): send({'unsupported': 'x'}); return 1",
    "failed-as-frame": FRAME + "def f(x): send({'failed': 'x'}); return 1",
    "not-a-dictionary": FRAME + "def f(x): send([1]); send(None); send(True)",
    "node-that-is-no-value": FRAME + "def f(x): send({'returned': ['set', ['list']]})",
    "node-of-an-unknown-tag": FRAME + "def f(x): send({'returned': ['object', 1]})",
    "node-of-an-unhashable-tag": FRAME + "def f(x): send({'returned': [['list'], 1]})",
    "node-of-a-broken-number": FRAME + "def f(x): send({'returned': ['int', '0xzz']})",
    "node-of-a-lone-key": FRAME + "def f(x): send({'returned': ['dict', 1]})",
    "node-of-a-broken-range": FRAME + "def f(x): send({'returned': ['range', ['no'], 1, 1]})",
    "arguments-that-are-none": FRAME + "def f(x): send({'returned': None, 'args': ['list']})",
    "no-json": "import os\ndef f(x): os.write(4, b'\\0\\0\\0\\4pass')",
    "no-text": "import os\ndef f(x): os.write(4, b'\\0\\0\\0\\2\\xff\\xfe')",
    "bare-nan": "import os\ndef f(x): os.write(4, b'\\0\\0\\0\\x10{\"returned\": NaN}')",
    "deep-json": "import os\ndef f(x): b = b'[' * 100000; os.write(4, len(b).to_bytes(4, 'big') + b)",
    "long-integer": "import os\n"
    "def f(x): b = b'{\"returned\":' + b'9' * 9999 + b'}'; os.write(4, len(b).to_bytes(4, 'big') + b)",
    "pipe-closed": "import os\ndef f(x): os.close(4)",
    "all-closed": "import os\ndef f(x): os.closerange(0, 99)",
    "endless-print": "def f(x):\n    while True: print('passed')",
    "endless-result": "def f(x): return 'x' * 10**7",
    "endless-iterator": "import itertools\ndef f(x): return itertools.count()",
    "value-within-itself": "def f(x): x.append(x); return x",
    "deep-value": "def f(x):\n    for _ in range(10**5): x = [x]\n    return x",
    "deep-recursion": "def f(x): return f(x)",
    "nan": "def f(x): return float('nan')",
    "infinity": "def f(x): return float('inf')",
    "huge-integer": "def f(x): return 10**100000",
    "true": "def f(x): return True",
    "none": "def f(x): return None",
    "text-of-a-number": f"def f(x): return '{SECRET}'",
    "number-in-a-list": f"def f(x): return [{SECRET}]",
    "number-that-is-near": f"def f(x): return {SECRET} + 1e-4",
    "not-implemented": "def f(x): return NotImplemented",
    "module": "import sys\ndef f(x): return sys",
    "colliding-set": "def f(x): return {i * (2**61 - 1) for i in range(3000)}",
    "no-function": "g = 1",
    "no-python": "def f(x) return 1",
    "null-byte": "def f(x): return 1\0",
    "looks-in-frames": (
        "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        for value in [*frame.f_locals.values(), *frame.f_code.co_consts]:\n"
        "            if isinstance(value, dict): value = value.get('expected', value.get('test'))\n"
        "            if type(value) is int and value > 10**11: return value\n        frame = frame.f_back"
    ),
    "looks-in-objects": (
        "import gc\ndef f(x):\n    for each in gc.get_objects():\n        for value in gc.get_referents(each):\n"
        "            if type(value) is int and 7 * 10**11 < value < 8 * 10**11: return value"
    ),
    "looks-in-modules": (
        "import sys\ndef f(x):\n    for module in list(sys.modules.values()):\n"
        "        for value in vars(module).values():\n"
        "            if type(value) is int and 7 * 10**11 < value < 8 * 10**11: return value"
    ),
    "looks-in-memory": (
        "import ctypes, re\ndef f(x):\n    base = id(x) & ~0xFFFFF\n    text = ctypes.string_at(base, 1 << 20)\n"
        "    found = re.search(rb'== (7\\d{11})', text)\n    return found and int(found[1])"
    ),
    "looks-in-files": (
        "import os\ndef f(x):\n    for folder, _, names in os.walk('/tmp'):\n        for name in names:\n"
        "            return int(open(os.path.join(folder, name)).read())"
    ),
    "small-integers-patched": "import ctypes\nctypes.memmove(id(1) + 24, (5).to_bytes(4, 'little'), 4)\n"
    "def f(x): return 1",
    "trace": "import sys\nsys.settrace(lambda *a: None)\ndef f(x):\n"
    "    sys._getframe(1).f_locals['value'] = None; return 1",
    "thread-that-answers": FRAME
    + "import threading\nthreading.Thread(target=lambda: [send({'returned': 1})], daemon=True).start()\n"
    "def f(x): return 1",
    "answers-at-exit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): raise SystemExit",
    "finaliser": "class E:\n    def __del__(self): import os; os._exit(0)\ndef f(x): E()",
    "test-replaced": "import sys, types\nsys.modules['test'] = m = types.ModuleType('test')\nm.check = lambda c: None\n"
    "def check(candidate): pass\ndef f(x): return 1",
    "main-replaced": "import __main__\n__main__.check = __main__.candidate = lambda *a: True\ndef f(x): return 1",
}
SLOW_EXPLOITS = {
    "sleep": "import time\ndef f(x): time.sleep(99)",
    "sleep-at-once": "import time; time.sleep(99)",
    "busy": "def f(x):\n    while True: pass",
    "huge-power": "def f(x): return 99**98**97",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        with Sandbox() as sandbox:
            yield sandbox
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize("name", EXPLOITS)
def test_an_exploit_is_wrong(name: str, kind: str, sandbox: Sandbox) -> None:
    grade = grade_program(EXPLOITS[name], CHECKS[kind], LIMITS, sandbox)
    assert grade.outcome == Outcome.WRONG, grade.detail
    grade.detail.encode()  # a lone surrogate would break the file that it is written to


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize("name", SLOW_EXPLOITS)
def test_a_program_that_takes_too_long_is_timed_out(name: str, kind: str, sandbox: Sandbox) -> None:
    assert grade_program(SLOW_EXPLOITS[name], CHECKS[kind], QUICK, sandbox).outcome == Outcome.TIMED_OUT


@pytest.mark.parametrize("kind", CHECKS)
def test_who_knows_the_secret_passes(kind: str, sandbox: Sandbox) -> None:
    """Else the exploits' failure would mean nothing."""
    grade = grade_program(f"def f(x): return {SECRET}", CHECKS[kind], LIMITS, sandbox)
    assert grade.outcome == Outcome.RIGHT, grade.detail


@pytest.mark.parametrize("kind", ADD)
def test_an_honest_program_is_right_and_a_wrong_one_wrong(kind: str, sandbox: Sandbox) -> None:
    assert grade_program("def add(a, b): return a + b", ADD[kind], LIMITS, sandbox).outcome == Outcome.RIGHT
    assert grade_program("def add(a, b): return a - b", ADD[kind], LIMITS, sandbox).outcome == Outcome.WRONG
    assert grade_program("def add(a, b): return 3", ADD[kind], LIMITS, sandbox).outcome == Outcome.WRONG


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def by_test(program: str, test: str, sandbox: Sandbox, **more: object) -> Outcome:
    check = {"entry_point": "f", "test": "def check(candidate):\n    " + test.replace("\n", "\n    "), **more}
    return grade_program(program, check, LIMITS, sandbox).outcome


@pytest.mark.parametrize(
    ("body", "test"),
    [
        ("return x, [x], {x: {1, 2}}, None, b'a', 1j", "assert candidate(1) == (1, [1], {1: {1, 2}}, None, b'a', 1j)"),
        ("return 2.5, range(x), frozenset(), b''", "assert candidate(3) == (2.5, range(3), frozenset(), b'')"),
        ("return 10**50 + x", "assert candidate(1) == 10**50 + 1"),
        ("return float('nan')", "import math; assert math.isnan(candidate(1))"),
        ("yield from range(x)", "assert list(candidate(3)) == [0, 1, 2]"),
        ("from collections import Counter; return Counter(x)", "assert candidate('aab') == {'a': 2, 'b': 1}"),
        ("raise ValueError('no')", "try: candidate(1)\nexcept ValueError as e: assert str(e) == 'no'\nelse: assert 0"),
        (
            "class Mine(ValueError): pass\n    raise Mine('no')",
            "try: candidate(1)\nexcept ValueError as e: assert type(e).__name__ == 'Mine'\nelse: assert 0",
        ),
        ("return type(x).__name__", "for v in (1, True, (1,), [1], {1}, 1.0): assert candidate(v) == type(v).__name__"),
        ("x.sort()", "a = [3, 1, 2]; candidate(a); assert a == [1, 2, 3]"),
        ("x.update(a=1)", "a = {}; candidate(a); assert a == {'a': 1}"),
        ("x.append(1)", "from collections import deque; a = deque(); candidate(a); assert a == deque([1])"),
        ("return {x: 2}.keys()", "k = candidate(1); assert k == {1} and sorted(k) == [1] and len(k) == 1"),
        ("return {1: x}.values()", "assert list(candidate([])) == [[]]"),
        ("return {x: []}.items()", "assert list(candidate(1)) == [(1, [])]"),
        ("from decimal import Decimal; return Decimal(x)", "assert candidate('1.50') == 1.5 > candidate('-0')"),
        ("from fractions import Fraction; return Fraction(x, 2)", "assert candidate(3) == 1.5"),
        ("return '\\ud800'", "assert candidate(1) == '\\ud800'"),
    ],
)  # fmt: skip
def test_values_arrive_as_what_they_are(body: str, test: str, sandbox: Sandbox) -> None:
    assert by_test(f"def f(x):\n    {body}", test, sandbox) == Outcome.RIGHT


def test_a_function_may_change_its_arguments_and_return_only_where_the_check_says_so(sandbox: Sandbox) -> None:
    honest = "def f(x):\n    x.sort(); return len(x)"
    test = "a = [2, 1]; assert candidate(a) == 2; assert a == [1, 2]"
    assert by_test(honest, test, sandbox) == Outcome.WRONG
    assert by_test(honest, test, sandbox, in_place=True) == Outcome.RIGHT


def test_a_program_cannot_spoil_what_the_test_expects(sandbox: Sandbox) -> None:
    spoil = "def f(x):\n    x.clear(); return 0"
    assert by_test(spoil, "a = [2, 1]; assert candidate(a) == sum(a)", sandbox) == Outcome.WRONG


def test_a_test_may_use_the_prompts_names_and_the_functions_own(sandbox: Sandbox) -> None:
    prompt = 'def double(x):\n    return 2 * x\n\n\ndef f(x):\n    """Half."""\n'
    assert (
        by_test("def f(x): return x // 2", "assert f(double(4)) == 4 == candidate(8)", sandbox, prompt=prompt)
        == "right"
    )


def test_a_function_may_be_called_check(sandbox: Sandbox) -> None:
    check = {"entry_point": "check", "test": "assert check(1) == 2"}
    assert grade_program("def check(x): return x + 1", check, LIMITS, sandbox).outcome == Outcome.RIGHT
    assert grade_program("def check(x): return x", check, LIMITS, sandbox).outcome == Outcome.WRONG


@pytest.mark.parametrize(
    "test",
    [
        "assert undefined",
        "pass",
        "import no_such_module",
        "candidate(lambda: 1)",
        "candidate(object())",
        "raise SystemExit",
        "while True: pass",
    ],
)
def test_a_test_at_fault_is_our_error(test: str, sandbox: Sandbox) -> None:
    assert by_test("def f(x): return 1", test, sandbox) == Outcome.GRADER_ERROR


@pytest.mark.parametrize("raised", ["StopIteration", "type('E', (StopIteration,), {})", "StopAsyncIteration"])
def test_a_program_cannot_end_the_tests_iteration(raised: str, sandbox: Sandbox) -> None:
    program = f"n = 0\ndef f(x):\n    raise {raised}"
    assert by_test(program, "assert all(map(candidate, [1, 2]))", sandbox) == Outcome.WRONG


def test_a_program_cannot_make_the_tests_calls_fail_as_ours(sandbox: Sandbox) -> None:
    """A value as deep as may be, which the test then puts into another."""
    deep = "def f(x):\n    for _ in range(100): x = [x]\n    return x"
    assert by_test(deep, "assert candidate([[candidate(1)]]) == 1", sandbox) == Outcome.WRONG


def test_large_arguments_do_not_make_a_right_program_wrong(sandbox: Sandbox) -> None:
    """They do not come back with the value, which alone has to be within the limit of output."""
    program, test = "def f(x): return len(x)", "assert candidate('x' * 3_000_000) == 3_000_000"
    assert by_test(program, test, sandbox) == Outcome.RIGHT


SAYS = "import json, os, time\nb = json.dumps({}).encode()\nos.write(4, len(b).to_bytes(4, 'big') + b)\ntime.sleep(0.2)"


@pytest.mark.parametrize("asked", ["", "candidate(1)\n"])
@pytest.mark.parametrize(
    "said",
    [[1], "call", None, {}, {"call": 1}, {"call": ["list"]}, {"call": ["list"], "named": 5}, {"passed": "x"},
     {"failed": 5}, {"failed": None}, {"unsupported": 5}],
)  # fmt: skip
def test_a_test_that_writes_to_the_pipe_of_its_calls_is_our_error(said: object, asked: str, sandbox: Sandbox) -> None:
    assert by_test("def f(x): return 1", asked + SAYS.format(repr(said)), sandbox) == Outcome.GRADER_ERROR


def test_a_test_that_is_no_python_is_our_error(sandbox: Sandbox) -> None:
    check = {"entry_point": "f", "test": "def check(candidate:"}
    assert grade_program("def f(x): return 1", check, LIMITS, sandbox).outcome == Outcome.GRADER_ERROR


@pytest.mark.parametrize(
    ("value", "expected", "tolerance", "right"),
    [
        ("1.0000001", 1.0, 1e-6, True),
        ("1.0000001", 1.0, 0.0, False),
        ("1000000.1", 1e6, 1e-6, True),
        ("float('nan')", 1.0, 1e9, False),
        ("float('inf')", 1.0, 1e9, False),
        ("2", 1, 1e9, False),
        ("True", 1, 0.0, False),
        ("1", True, 0.0, False),
        ("0", False, 0.0, False),
        ("2.0", 2, 0.0, True),
        ("(1, 2)", [1, 2], 0.0, True),
        ("{1, 2}", [1, 2], 0.0, False),
        ("{'a': (None,)}", {"a": [None]}, 0.0, True),
        ("{1: 2}", {"1": 2}, 0.0, False),
        ("{'a': 1, 'b': 2}", {"a": 1}, 0.0, False),
        ("10**400", 1.0, 1e-6, False),
        ("10**400", 10**400, 0.0, True),
        ("''", None, 0.0, False),
        ("[]", False, 0.0, False),
    ],
)
def test_cases_are_compared_by_value_and_type(
    value: str, expected: object, tolerance: float, right: bool, sandbox: Sandbox
) -> None:
    check = {"entry_point": "f", "tests": [{"args": [], "expected": expected}], "tolerance": tolerance}
    grade = grade_program(f"def f(): return {value}", check, LIMITS, sandbox)
    assert grade.outcome == (Outcome.RIGHT if right else Outcome.WRONG), grade.detail


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({}, "entry_point"),
        ({"entry_point": "f"}, "only one"),
        ({"entry_point": "f", "test": "x", "tests": [{"args": [], "expected": 1}]}, "only one"),
        ({"entry_point": "f()", "test": "x"}, "not a function's name"),
        ({"entry_point": "f", "tests": [{"args": []}]}, "expected"),
        ({"entry_point": "f", "tests": [{"args": [], "expected": float("nan")}]}, "NaN"),
        ({"entry_point": "f", "test": "  \n"}, "only one"),
        ({"entry_point": "def", "test": "x"}, "not a function's name"),
        ({"entry_point": "f", "tests": [{"args": "abc", "expected": 1}]}, "args"),
        ({"entry_point": "f", "tests": [{"args": {"a": 1}, "expected": 1}]}, "args"),
        ({"entry_point": "f", "tests": [{"args": [nested(150)], "expected": 1}]}, "100 deep"),
        ({"entry_point": "f", "tests": [{"args": [], "expected": nested(150)}]}, "100 deep"),
        ({"entry_point": "f", "tests": [{"args": [], "expected": nested(9999)}]}, "100 deep"),
        ({"entry_point": "f", "test": "x", "in_place": "no"}, "in_place: 'no'; give true or false"),
        ({"entry_point": "f", "test": "x", "tolerance": 10**400}, "tolerance"),
        ({"entry_point": "f", "test": "x", "tolerance": -1}, "tolerance"),
        ({"entry_point": "f", "test": "x", "tolerance": "0.1"}, "tolerance"),
        ({"entry_point": "f", "test": 5}, "test: '5'; give text"),
        ({"entry_point": "f", "test": "x", "prompt": ["y"]}, "prompt"),
        ({"entry_point": "f", "test": "x", "asserts": 1}, "asserts"),
    ],
)
def test_a_malformed_check_is_the_users_to_mend(answer: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Check.of(answer)


def test_a_sandbox_that_dies_is_our_error_and_the_next_program_is_graded(sandbox: Sandbox) -> None:
    def dying() -> Outcome:
        with sandbox.start(LIMITS) as process:
            process.ask({"role": "program", "name": "x", "code": ""})
            assert sandbox._zygote
            sandbox._zygote.kill()
            process.listen()
        raise AssertionError

    with pytest.raises(RuntimeError, match="the sandbox failed"):
        dying()
    assert grade_program("def f(x): return 1", BY_CASES, LIMITS, sandbox).outcome == Outcome.WRONG


def test_an_error_of_ours_is_told_from_a_wrong_answer(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("no descriptors left")

    monkeypatch.setattr(sandbox, "_request", broken)
    grade = grade_program("def f(x): return 1", BY_CASES, LIMITS, sandbox)
    assert (grade.outcome, grade.detail) == (Outcome.GRADER_ERROR, "no descriptors left")


def test_many_are_graded_in_order_and_taken_as_needed() -> None:
    taken = []

    def jobs() -> Iterator[tuple[str, dict[str, object]]]:
        for number in range(40):
            taken.append(number)
            yield f"def add(a, b): return a + b + {number % 2}", ADD["cases"]

    grades = grade_programs(jobs(), workers=2, limits=LIMITS)
    try:
        assert next(grades).outcome == Outcome.RIGHT
    except UserError as error:
        pytest.skip(str(error))
    assert len(taken) < 10
    assert [grade.outcome for grade in grades] == [Outcome.WRONG, *[Outcome.RIGHT, Outcome.WRONG] * 19]


PERTURB = """

def _other(value):
    if isinstance(value, bool): return not value
    if isinstance(value, (int, float)): return value + 1
    if isinstance(value, str): return value + "x"
    if isinstance(value, (list, tuple)): return value + type(value)([0])
    if isinstance(value, dict): return {{**value, "x": 0}}
    return 0

_honest = {name}
def {name}(*given): return _other(_honest(*given))
"""


@pytest.mark.slow
@pytest.mark.skipif(not HUMANEVAL.exists(), reason="HumanEval is not beside the repository")
@pytest.mark.parametrize("broken", ["", "empty", "perturbed"])
def test_humaneval_tells_its_solutions_from_broken_ones(broken: str, sandbox: Sandbox) -> None:
    with gzip.open(HUMANEVAL, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    solutions = [row["prompt"] + row["canonical_solution"] for row in rows]
    if broken == "empty":
        solutions = [row["prompt"] + "    return None\n" for row in rows]
    elif broken:
        solutions = [text + PERTURB.format(name=row["entry_point"]) for text, row in zip(solutions, rows, strict=True)]
    checks = [{name: row[name] for name in ("entry_point", "prompt", "test")} for row in rows]
    grades = list(grade_programs(zip(solutions, checks, strict=True)))
    wanted = Outcome.WRONG if broken else Outcome.RIGHT
    unexpected = [
        (row["task_id"], grade.detail) for row, grade in zip(rows, grades, strict=True) if grade.outcome != wanted
    ]
    assert (len(grades), unexpected) == (164, [])
