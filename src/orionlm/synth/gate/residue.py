"""Is anything left of the page, the chat or the tool that a text passed through?

Each kind of mark is looked for; kinds that one half of the real texts hardly has (in fewer than 5%) are foreign to this
text, and the share of rows with any of those is compared with the other half's. Real text full of HTML may be
continued by rows full of HTML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import CERTAIN, Measure, more_often

Array = np.ndarray
FAULT = "markup residue"
FOREIGN = 0.05
MARGIN = 0.12  # of rows; real against held-out real reaches ±.05, with its interval .09 (400 a side)

_TAG = (
    r"</?(?:a|abbr|article|b|blockquote|body|br|button|center|code|div|em|footer|font|form|h[1-6]|head|header|hr|html|i|"
    r"iframe|img|input|label|li|link|main|meta|nav|ol|option|p|pre|script|section|select|small|span|strong|style|sub|"
    r"sup|svg|table|tbody|td|textarea|th|thead|title|tr|tt|u|ul|video)(?:\s+[\w:-]+\s*=[^<>\n]{0,300})?\s*/?>"
)
MARKS: dict[str, str] = {
    "control token": (
        r"<[|｜][^<>\n|｜]{1,40}[|｜]>|</?s>|\[/?INST\]|<</?SYS>>|<(?:pad|unk|bos|eos|mask|endoftext)>|"
        r"\[(?:CLS|SEP|PAD|MASK|EOS|BOS)\]|<(?:start|end)_of_turn>(?:user|model)?|"
        r"</?(?:think|thinking|answer|reasoning|scratchpad|output|response|tool_call|function_call)>"
    ),
    "role": (
        r"^(?:###?\s*)?(?:Human|Assistant|User|System|AI|Instruction|Response|Input|Output|Prompt|Completion)\s*:\s|"
        r"^#{1,4} ?(?:Instruction|Response|Input|Output)\b"
    ),
    "talk of the assistant": (
        r"\bAs an? (?:AI|artificial intelligence|(?:large )?language model)\b[^.\n]*\.?|"
        r"\bI(?:'m| am) (?:just )?an? (?:AI|language model)\b[^.\n]*\.?|\bmy (?:training data|knowledge cutoff)\b|"
        r"\bI(?:'m sorry, but I| apologi[sz]e, but I)?,? ?(?:cannot|can't|am unable to) (?:assist|help|fulfil|comply)\b"
    ),
    "HTML tag": _TAG,
    "HTML comment or entity": (
        r"<!--|<!DOCTYPE|&(?:nbsp|amp|lt|gt|quot|apos|mdash|ndash|rsquo|lsquo|ldquo|rdquo|hellip|copy|#\d{1,5}|"
        r"#x[0-9a-fA-F]{1,4});"
    ),
    "fence": r"^[ \t]*(?:```|~~~)",
    "Markdown heading": r"^#{1,6} [^\n#!]*[A-Za-z][^\n]*$",
    "Markdown emphasis": r"(?<![*\w])\*\*[^*\n]{1,200}\*\*(?!\*)",
    "Markdown link": r"!?\[[^\]\n]{1,200}\]\((?:https?:|/|#|\.)[^)\n]{0,300}\)",
    "wiki markup": r"\[\[[^\]\n]{1,200}\]\]|\{\{[^}\n]{1,200}\}\}|^={2,5} [^=\n]+ ={2,5}$|<ref[ >/]",
    "LaTeX command": r"\\(?:begin|end|section|subsection|textbf|textit|emph|cite|ref|label|usepackage|documentclass)\{",
    "rST mark": r"^\.\. [\w-]+::|:(?:class|func|meth|mod|ref|doc|attr|data|obj):`",
    "BBCode": r"\[/?(?:b|i|u|url|quote|code|img|color|size)(?:=[^\]\n]{0,100})?\]",
    "escape": r"\\u[0-9a-fA-F]{4}|\\x1b\[|\x1b\[[0-9;]*m|(?<!\\)\\n(?![a-zA-Z])",
    "broken encoding": r"\ufffd|Ã[©¨¤¶¼ª]|â€[™œ\x9d\x93\x94]?",
    "notes of the page": (
        r"(?i)\b(?:click here to|subscribe to our|all rights reserved\.|accept (?:all )?cookies|"
        r"share on (?:facebook|twitter))"
    ),
    "placeholder": (
        r"\[(?:insert|your|name|topic|title|citation needed|todo)[^\]\n]{0,40}\]|"
        r"\{(?:text|name|topic|title|input|document|prompt)\}|\blorem ipsum\b"
    ),
}
_COMPILED = {name: re.compile(pattern, re.M) for name, pattern in MARKS.items()}
# What a format brings with it, and a row in that format may therefore have.
BELONGS: dict[str, frozenset[str]] = {
    "faq": frozenset({"Markdown emphasis", "Markdown heading", "role"}),
    "list": frozenset({"Markdown emphasis", "Markdown heading"}),
    "table": frozenset({"Markdown emphasis", "Markdown heading"}),
    "math": frozenset({"Markdown emphasis", "Markdown heading", "LaTeX command"}),
    "dialogue": frozenset({"role", "Markdown emphasis"}),
    "tutorial": frozenset({"Markdown emphasis", "Markdown heading", "fence"}),
    "code": frozenset({"fence"}),
}


def marks(texts: Sequence[str]) -> Array:
    """Which kinds of marks stand in which texts: (texts, kinds)."""
    found = [[pattern.search(text) is not None for pattern in _COMPILED.values()] for text in texts]
    return np.array(found, bool).reshape(len(texts), len(_COMPILED))


def without(text: str, kinds: Sequence[str]) -> str:
    for kind in kinds:
        text = _COMPILED[kind].sub("", text)
    return text


def measure(sides: Sides) -> tuple[list[Measure], Array]:
    """Leaves both sides without foreign marks."""
    names = list(MARKS)
    real, rows = marks(sides.real), marks(sides.rows)
    for column, name in enumerate(names):
        rows[:, column] &= np.array([name not in BELONGS.get(format, ()) for format in sides.format], bool)
    flags = np.zeros(len(rows), bool)
    against = np.zeros(len(real), bool)
    foreign_to_all = real.mean(0) < FOREIGN if len(real) else np.ones(len(names), bool)
    for half, (learned, compared) in enumerate((sides.halves, sides.halves[::-1])):
        foreign = real[learned].mean(0) < FOREIGN if len(learned) else np.ones(len(names), bool)
        against[compared] = real[compared][:, foreign].any(1)
        flags[half::2] = rows[half::2][:, foreign].any(1)
    share = rows[:, foreign_to_all].mean(0) if len(rows) else np.zeros(int(foreign_to_all.sum()))
    kinds = [name for name, is_foreign in zip(names, foreign_to_all, strict=True) if is_foreign]
    most = sorted((-part, kind) for part, kind in zip(share, kinds, strict=True) if part)[:3]
    note = ", ".join(f"{kind} {-part:.2f}" for part, kind in most)
    sides.bare_rows = [without(text, kinds) if hit else text for text, hit in zip(sides.rows, flags, strict=True)]
    sides.inner_rows = list(sides.bare_rows)
    unheard_of = rows[:, ~real.any(0)].any(
        1
    )  # what no real text has goes altogether, the rest as far as it is too much
    found = more_often("marks foreign to the text", FAULT, flags, against, MARGIN, note, owners=sides.owners())
    return [found], np.where(unheard_of, CERTAIN, flags)
