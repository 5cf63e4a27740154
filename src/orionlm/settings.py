"""Strict settings: a TOML file read into frozen pydantic models, every mistake named by file, line, field and mend."""

from __future__ import annotations

import json
import math
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from orionlm.errors import UserError
from orionlm.toml_lines import KeyPath, key_lines

DEEPEST, LARGEST_BITS = 64, 1 << 13
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """A parsed TOML file: its values, and the line each key stands on."""

    name: str
    text: str
    values: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def line(self, at: KeyPath) -> int | None:
        """The line of the key at `at`, or of the closest key above it."""
        return next((self.lines[at[:n]] for n in range(len(at), 0, -1) if at[:n] in self.lines), None)

    def error(self, at: KeyPath, problem: str) -> UserError:
        """A UserError that points at the line of `at`."""
        line = self.line(at)
        where = self.name if line is None else f"{self.name}:{line}"
        return UserError(f"{where}: {dotted(at)}: {problem}" if at else f"{where}: {problem}")


def read_toml(path: Path | str) -> Document:
    """Read a TOML file; one that is missing, not UTF-8, or not TOML raises UserError with the line."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8 text: save the file as UTF-8") from None
    return parse_toml(text, str(path))


def parse_toml(text: str, name: str) -> Document:
    """Parse TOML text; `name` stands before the line number in every message."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = str(error)
        found = re.search(r" \(at line (\d+), column \d+\)$", problem)
        line = int(found.group(1)) if found else text.count("\n") + 1
        problem = re.sub(r" \(at .*\)$", "", problem)
        raise UserError(f"{name}:{line}: not TOML: {problem[:1].lower()}{problem[1:]}") from None
    except RecursionError:
        raise UserError(f"{name}: not TOML: nested too deeply") from None
    except ValueError:
        raise UserError(f"{name}: a whole number has thousands of digits: write it like 1e26") from None
    _check_bounds(values, name)
    return Document(name, text, values, dict(key_lines(text)))


def to_toml(value: Any) -> str:
    """A value as it stands in a TOML file; what is None is left out of its table."""
    if isinstance(value, Mapping):
        held = ", ".join(f"{to_toml(str(name))} = {to_toml(each)}" for name, each in value.items() if each is not None)
        return f"{{ {held} }}" if held else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(to_toml, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")


def _check_bounds(values: Any, name: str) -> None:
    held = [(values, 0)]
    while held:
        value, depth = held.pop()
        if depth > DEEPEST:
            raise UserError(f"{name}: nested too deeply: {depth} levels, at most {DEEPEST} can be read")
        if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
            raise UserError(f"{name}: a whole number of {value.bit_length():,} bits: write it like 1e26")
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        held += [(item, depth + 1) for item in inside]


def validate(model: type[Model], values: Mapping[str, Any], document: Document, at: KeyPath = ()) -> Model:
    """`values`, found in `document` under the key path `at`, as a `model`; the first mistake raises UserError.

    Types are strict (a number in quotes is text, 2048.0 is no whole number); arrays may fill tuples and sets.
    """
    for path, value in _leaves(values):
        if isinstance(value, float) and not math.isfinite(value):
            raise document.error((*at, *path), f"{value} is no usable number: write a finite one")
    try:
        return model.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as failure:
        problems = _problems(model, values, failure)
    ordered = sorted(problems, key=lambda item: document.line((*at, *item[0])) or 0)
    path, problem = ordered[0]
    more = f" (and {len(ordered) - 1} more)" if len(ordered) > 1 else ""
    raise document.error((*at, *path), problem + more)


def nearest(word: str, known: typing.Iterable[str]) -> str:
    """`did you mean X?`, or the list of what is known if nothing is near."""
    options = sorted(known)
    close = get_close_matches(word.lower(), [option.lower() for option in options], n=1, cutoff=0.6)
    if close:
        return f"did you mean {next(option for option in options if option.lower() == close[0])}?"
    if not options:
        return "there are none here"
    return f"known: {', '.join(options)}"


def dotted(path: KeyPath) -> str:
    """A key path as a person writes it: `stage.corpus.sources[1].glob`."""
    text = ""
    for part in path:
        name = f"[{part}]" if isinstance(part, int) else part if part.isprintable() else json.dumps(part)
        text += name if isinstance(part, int) or not text else f".{name}"
    return text


def _problems(model: type[BaseModel], values: Mapping[str, Any], failure: ValidationError) -> list[tuple[KeyPath, str]]:
    """One (key path, what is wrong and its mend) for each field that failed."""
    expected: dict[KeyPath, list[str]] = {}
    problems: dict[KeyPath, str] = {}
    for error in failure.errors(include_url=False):
        kind = error["type"]
        path = _real_path(values, error["loc"], missing=kind == "missing")
        if kind == "extra_forbidden":
            known = set(_fields_at(model, path[:-1])) - set(_value_at(values, path[:-1]))
            problems.setdefault(path, f"unknown key, {nearest(str(path[-1]), known)}")
        elif kind == "missing":
            problems.setdefault(path, "missing: it has no default, set it")
        elif kind in ("value_error", "assertion_error"):
            problems.setdefault(path, str(error["ctx"]["error"]))
        else:
            expected.setdefault(path, []).append(_expectation(error))
    for path, wishes in expected.items():
        value = _value_at(values, path)
        problems.setdefault(
            path, f"{_shown(value)}: expected {' or '.join(dict.fromkeys(wishes))}{_mend(value, wishes)}"
        )
    # A table that may also be something else fails as both: what is wrong inside it says more.
    return [item for item in problems.items() if not any(path and path[:-1] == item[0] for path in problems)]


_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def _expectation(error: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in ("literal_error", "enum"):
        return context["expected"]
    bounds = {"greater_than": ("gt", "more than"), "greater_than_equal": ("ge", "at least"),
              "less_than": ("lt", "less than"), "less_than_equal": ("le", "at most")}  # fmt: skip
    if kind in bounds:
        name, words = bounds[kind]
        return f"{words} {context[name]:g}"
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        bound, words = ("min_length", "at least") if kind.endswith("short") else ("max_length", "at most")
        return f"{words} {context[bound]} {'characters' if kind.startswith('string') else 'items'}"
    return error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")


def _mend(value: Any, wishes: list[str]) -> str:
    number = any(wish in ("a number", "a whole number") for wish in wishes)
    if number and isinstance(value, str) and re.fullmatch(r"\s*[-+]?[\d._]+([eE][-+]?\d+)?\s*", value):
        return ": remove the quotes"
    if "a whole number" in wishes and isinstance(value, float) and value.is_integer():
        return f": write {int(value):_}"
    if "true or false" in wishes and str(value).lower() in ("true", "false"):
        return ": remove the quotes"
    choices = [option for wish in wishes for option in re.findall(r"'([^']*)'", wish)]
    close = get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    return f", did you mean '{close[0]}'?" if close else ""


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def _real_path(values: Any, location: tuple[str | int, ...], missing: bool) -> KeyPath:
    """pydantic's location without the parts that name union members: only keys that stand in the file, and the last
    where that is what is missing."""
    path: list[str | int] = []
    here = values
    for n, part in enumerate(location):
        if part in (here if isinstance(here, Mapping) else range(len(here)) if isinstance(here, list) else ()):
            here = here[part]
        elif n < len(location) - 1 or not missing:
            continue
        path.append(part)
    return tuple(path)


def _value_at(values: Any, path: KeyPath) -> Any:
    for part in path:
        values = values[part]
    return values


def _fields_at(model: Any, path: KeyPath) -> Iterator[str]:
    """The names of all fields a table at `path` inside `model` may have."""
    models = [model]
    for part in path:
        annotations = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        if annotations:
            models = [inner for annotation in annotations for inner in _models_in(annotation)]
    for candidate in models:
        yield from (field.alias or name for name, field in candidate.model_fields.items())


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)


def _leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from _leaves(inner, (*path, n))
    else:
        yield path, value
