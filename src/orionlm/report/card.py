"""What is in a corpus? Its data card: one offline page for people, from what the stages counted."""

from __future__ import annotations

from importlib import resources
from typing import Any

from orionlm.artifact import Artifact
from orionlm.data.curation.samples import masked
from orionlm.report import numbers
from orionlm.report.page import UNPRINTABLE

LONGEST = 30  # rows of a table; the rest is summed up
SHOWN = 3  # removed documents shown for each reason


def render_card(corpus: Artifact) -> str:
    """The page of a `corpus` or `curate` artifact. All text came from anywhere: it is escaped, and names are `masked`,
    for an address may hold a password."""
    import jinja2
    from markupsafe import Markup

    here = resources.files("orionlm.report")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= numbers.FILTERS
    environment.filters["masked"] = lambda name: masked([name])[0]
    told = corpus.json("corpus.json")
    curation = corpus.json("curation.json") if "curation.json" in corpus.manifest["files"] else None
    text = environment.from_string(here.joinpath("card.html").read_text(encoding="utf-8")).render(
        style=Markup(here.joinpath("page.css").read_text(encoding="utf-8")),
        name=corpus.path.name,
        digest=corpus.digest,
        told=told,
        shares={share: shares(told[f"train_{share}s"]) for share in ("domain", "licence", "source")},
        removed=removed(curation, corpus.json("samples.json")) if curation else [],
        changed=changed(curation, corpus.json("samples.json")) if curation else [],
        seen=documents(curation["seen"]) if curation else 0,
        kept=documents(curation["kept"]) if curation else 0,
        found=found(curation) if curation else [],
        decontamination=corpus.json("decontamination.json")
        if "decontamination.json" in corpus.manifest["files"]
        else None,
    )
    return text.translate(UNPRINTABLE)


def documents(counted: dict[str, dict[str, dict[str, int]]]) -> int:
    return sum(held["documents"] for held in counted["domain"].values())


def shares(counted: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """Rows by bytes, the largest first, and one for all that is not shown."""
    total = sum(held["bytes"] for held in counted.values()) or 1
    ordered = sorted(counted.items(), key=lambda item: (-item[1]["bytes"], item[0]))
    rows: list[dict[str, Any]] = [{"name": name, **held} for name, held in ordered[:LONGEST]]
    if rest := [held for _, held in ordered[LONGEST:]]:
        rows.append({"name": f"{len(rest):,} others"} | {n: sum(h[n] for h in rest) for n in ("documents", "bytes")})
    return [row | {"share": row["bytes"] / total} for row in rows]


def removed(curation: dict[str, Any], samples: dict[str, Any]) -> list[dict[str, Any]]:
    """What went, by step in the order taken and by reason, with some of it."""
    return [
        {"step": step, "reason": reason, **held, "samples": samples[step][reason][:SHOWN]}
        for step in curation["steps"]
        for reason, held in sorted(curation["removed"].get(step, {}).items(), key=lambda item: -item[1]["documents"])
    ]


def changed(curation: dict[str, Any], samples: dict[str, Any]) -> list[dict[str, Any]]:
    """What stayed with another text, by step in the order taken, with some of what it lost."""
    return [
        {"step": step, **curation["changed"][step], "samples": samples[step]["changed"][:SHOWN]}
        for step in curation["steps"]
        if step in curation["changed"]
    ]


def found(curation: dict[str, Any]) -> list[dict[str, Any]]:
    """What filters found or changed, the most frequent kinds first."""
    return [
        {"step": step, "kinds": sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:LONGEST]}
        for step, kinds in curation["found"].items()
        if kinds
    ]
