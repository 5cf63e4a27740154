"""What is in a set of synthetic rows, and may it be used? Its data card: one offline page, counted from the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from orionlm.report import numbers
from orionlm.report.page import UNPRINTABLE
from orionlm.report.synthetic import gate_view
from orionlm.synth.rows import Row, read_rows
from orionlm.synth.viewer import clean, draw, reason

SHOWN, LONGEST = 3, 1_000  # rows shown of each method, and characters of each
MOST = 30  # lines of a table; the rest is summed up


@dataclass
class Counted:
    """What was counted of rows: by method, and of those that were kept by who wrote them and what they may be used
    for."""

    rows: int = 0
    kept: int = 0
    tokens: int = 0
    characters: int = 0
    thoughts: int = 0
    seeds: set[str] = field(default_factory=set)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    teachers: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    depths: Counter[int] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        own = self.methods.setdefault(row.method, {"rows": 0, "kept": 0, "tokens": 0, "rejected": Counter()})
        self.rows += 1
        own["rows"] += 1
        if row.error:
            own["rejected"][reason(row.error)] += 1
            return
        self.kept += 1
        own["kept"] += 1
        own["tokens"] += row.tokens
        self.tokens += row.tokens
        self.characters += len(row.text)
        self.thoughts += bool(row.thoughts)
        self.seeds.update(row.seeds)
        self.teachers[row.teacher, row.revision, row.terms] += 1
        for counts, value in ((self.licences, row.licence), (self.domains, row.domain), (self.forms, row.form)):
            counts[value] += 1
        self.depths[row.depth] += 1

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        methods = {name: one | {"rejected": dict(one["rejected"])} for name, one in self.methods.items()}
        teachers = [
            {"teacher": teacher, "revision": revision, "terms": terms, "rows": count}
            for (teacher, revision, terms), count in self.teachers.most_common()
        ]
        return {
            **{name: getattr(self, name) for name in ("rows", "kept", "tokens", "characters", "thoughts")},
            "seeds": len(self.seeds),
            "methods": methods,
            "teachers": teachers,
            **{name: dict(getattr(self, name).most_common()) for name in ("licences", "domains", "forms")},
            "depths": {str(depth): count for depth, count in sorted(self.depths.items())},
        }


def counted(files: Sequence[Path]) -> Counted:
    found = Counted()
    for row in read_rows(files):
        found.add(row)
    return found


def render_card(files: Sequence[Path], name: str, digest: str = "", gate: Mapping[str, Any] | None = None) -> str:
    """The page of these row files. `gate`: what a gate said of them. All text came from outside: it is escaped, masked
    and cut."""
    import jinja2
    from markupsafe import Markup

    here = resources.files("orionlm.report")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= numbers.FILTERS
    environment.filters["masked"] = lambda text: clean([str(text)])[0]
    found = counted(files)
    text = environment.from_string(here.joinpath("synthetic_card.html").read_text(encoding="utf-8")).render(
        style=Markup(here.joinpath("page.css").read_text(encoding="utf-8")),
        name=name,
        digest=digest,
        found=found,
        methods=found.methods,
        families=families(found.methods),
        teachers=[(*who, count) for who, count in found.teachers.most_common(MOST)],
        shares={
            "licence": _shares(found.licences),
            "domain": _shares(found.domains),
            "form": _shares(found.forms),
            "depth (generations of models since a person wrote)": _shares(found.depths),
        },
        gate=gate_view(gate) if gate else None,
        samples=samples(files, len(found.methods)),
    )
    return text.translate(UNPRINTABLE)


def families(methods: Iterable[str]) -> list[dict[str, str]]:
    """The papers and the expected worth of those methods that we know, once for all variants."""
    from orionlm.synth.methods import METHODS, load

    names = dict.fromkeys(name.partition("/")[0] for name in methods)
    found = [(name, load(name)) for name in names if name in METHODS]
    return [{"name": name, "paper": module.PAPER, "worth": module.WORTH} for name, module in found]


def _shares(counts: Counter[Any]) -> list[tuple[str, int, float]]:
    """(name, rows, share), the most first, and one for all that is not shown."""
    total = counts.total() or 1
    rows = [(str(name), count, count / total) for name, count in counts.most_common(MOST)]
    if rest := counts.total() - sum(count for _, count, _ in rows):
        rows.append((f"{len(counts) - MOST:,} others", rest, rest / total))
    return rows


def samples(files: Sequence[Path], methods: int) -> list[dict[str, str]]:
    """Some kept rows of each method, beginnings of seed and text."""
    drawn, _ = draw(files, 4 * SHOWN * max(1, methods))
    shown: Counter[str] = Counter()
    found = []
    for row in drawn:
        if not row.error and shown[row.method] < SHOWN:
            shown[row.method] += 1
            method, seed, text = clean([row.method, row.seed_text, row.text])
            found.append({"method": method, "seed": _beginning(seed), "text": _beginning(text)})
    return sorted(found, key=lambda one: one["method"])


def _beginning(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
