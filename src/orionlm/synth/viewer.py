"""What did the models write, and from what? One offline page in which a person leafs through rows.

The page holds a small script of ours and fetches nothing: its Content-Security-Policy names the script and the style by
digest, so nothing else in it can run. All text came from outside; it lies in the page as JSON without a "<", and enters
it as text alone. Secrets and persons are masked, as wherever documents are shown.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import regex

from orionlm.data.curation.samples import END, LOOKED_AT, masked
from orionlm.data.documents import row_groups
from orionlm.synth.rows import Row, read_rows

# What no person sees, or what turns the order of letters around.
HIDDEN = regex.compile(r"(?V1)[[\p{Cc}\p{Cs}\p{Bidi_Control}]--[\n\t]]")
TEXTS = (
    "text", "method", "form", "domain", "licence", "seed_text", "teacher", "revision", "terms", "response", "thoughts",
    "key", "error",
)  # fmt: skip


def draw(paths: Sequence[Path], most: int, seed: int = 0) -> tuple[list[Row], int]:
    """At most `most` rows of these files in their order, and how many there were. Where some must stay out, every
    method and every reason to reject keeps its even share, and within these chance decides."""
    groups: dict[tuple[str, str], list[int]] = {}
    count = 0
    for table in row_groups(paths, ("method", "error")):
        for method, error in zip(*(column.to_pylist() for column in table.columns), strict=True):
            groups.setdefault((method, reason(error)), []).append(count)
            count += 1
    chosen = set(range(count))
    if count > most:
        rng, left, chosen = np.random.default_rng(seed), most, set()
        ordered = sorted(groups.items(), key=lambda item: (len(item[1]), item[0]))
        for taken, (_, places) in enumerate(ordered):
            share = min(len(places), left // (len(groups) - taken))
            chosen |= set(rng.choice(places, share, replace=False).tolist())
            left -= share
    return [row for place, row in enumerate(read_rows(paths)) if place in chosen], count


def reason(error: str) -> str:
    """Which check rejected a row, without the details."""
    return error.partition(":")[0].strip()


def render(rows: Sequence[Row], title: str, count: int | None = None) -> str:
    """The page; `count` where these rows were drawn from more."""
    import jinja2
    from markupsafe import Markup

    here = resources.files("orionlm.synth")
    style, script = (here.joinpath(f"viewer.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    kept = sum(not row.error for row in rows)
    says = f"{len(rows):,} rows: {kept:,} kept, {len(rows) - kept:,} rejected."
    if count is not None and count > len(rows):
        says += f" Drawn at random from {count:,}, every method and every reason to reject an even share."
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(here.joinpath("viewer.html").read_text(encoding="utf-8")).render(
        title=clean([title])[0],
        says=f"{says} Persons and secrets are masked.",
        style=Markup(style),
        script=Markup(script),
        style_hash=Markup(_digest(style)),
        script_hash=Markup(_digest(script)),
        data=Markup(_json(content(rows))),
    )


def content(rows: Sequence[Row]) -> dict[str, Any]:
    """{strings, rows}: each text once, rows by the place of their texts among `strings`; the first is the empty one."""
    raw: dict[str, int] = {"": 0}

    def at(text: str) -> int:
        return raw.setdefault(text, len(raw))

    listed = []
    for row in rows:
        item: dict[str, Any] = {name: at(getattr(row, name)) for name in TEXTS}
        item["outcome"] = at(reason(row.error))
        item |= {"depth": row.depth, "tokens": row.tokens, "seeds": [at(str(seed)) for seed in row.seeds]}
        item["prompt"] = [[at(role), at(said)] for role, said in messages(row.prompt)]
        item["scores"] = [[at(name), _score(value)] for name, value in row.scores.items()]
        item["verdicts"] = [[at(name), at(str(found))] for name, found in row.verdicts.items()]
        item["more"] = at(json.dumps(row.more, indent=2, ensure_ascii=False, sort_keys=True)) if row.more else 0
        listed.append(item)
    strings = clean(raw)
    for item, row in zip(listed, rows, strict=True):  # a digest of ours has nothing to mask
        item["id"] = len(strings)
        strings.append(row.id)
    return {"strings": strings, "rows": listed}


def messages(prompt: str) -> list[tuple[str, str]]:
    """(role, content) of each message; a prompt that is no chat has one without a role."""
    if not prompt:
        return []
    try:
        found = json.loads(prompt)
    except (ValueError, RecursionError):
        return [("", prompt)]
    if isinstance(found, str):
        return [("", found)]
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        return [("", prompt)]
    return [(_plain(each.get("role", "")), _plain(each.get("content", ""))) for each in found]


def clean(texts: Iterable[str]) -> list[str]:
    """The texts as they may be shown: without persons, secrets and what cannot be seen, long ones cut."""
    texts = list(texts)
    shown = []
    # A secret that is cut cannot be told from other text, so the end of what was looked at stays out.
    for text, found in zip(texts, masked([HIDDEN.sub("\ufffd", text[:LOOKED_AT]) for text in texts]), strict=True):
        cut = len(text) > LOOKED_AT
        shown.append(f"{found[: max(0, len(found) - END)]}\n… ({len(text):,} characters in all)" if cut else found)
    return shown


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _score(value: Any) -> float | str:
    """JSON has no NaN."""
    return value if isinstance(value, (int, float)) and math.isfinite(value) else str(value)


def _json(value: Any) -> str:
    """JSON that ends no element of a page and begins none."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
