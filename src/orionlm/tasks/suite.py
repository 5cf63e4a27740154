"""Which questions does a suite ask, and how? A TOML file with items beside it, made into a checked, frozen suite.

A suite of one's own is five lines:

    name = "capitals"
    [task.capitals]
    kind = "choice"
    items = "capitals.jsonl"
    fields = { question = "q", choices = "options", answer = "label" }

`items` is a file beside the suite (.jsonl, .jsonl.gz, .json, .parquet), a list of rows, or a table: { given = NAME },
a file that whoever loads the suite names; { hub = "owner/name", split = … }; { generator = FAMILY, n = …, split = … };
{ corrupt = "next_line" | "middle", n = …, file | given = … }, made from texts of code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

from orionlm.errors import UserError
from orionlm.sampling import Sampling
from orionlm.settings import Document, nearest, parse_toml, read_toml, validate
from orionlm.tasks import extract, prompts
from orionlm.tasks.formats import FORMATS, Format
from orionlm.tasks.generators import corrupted
from orionlm.tasks.generators.generate import family, form_of, generate
from orionlm.tasks.items import checked_answer, checked_choices, own
from orionlm.tasks.rows import missing, read_hub, read_rows
from orionlm.tasks.task import Extraction, Form, Item, Suite, Task
from orionlm.tasks.written import FREE, IDLE, SOURCES, Corrupt, Extract, Generator, Head, Settings
from orionlm.toml_lines import KeyPath

__all__ = ["Extraction", "Item", "Suite", "Task", "load_suite", "published_suites"]

Rows = Iterable[tuple[str, dict[str, Any]]]


def published_suites() -> list[str]:
    """The names of the suites that come with Orion."""
    files = resources.files("orionlm").joinpath("tasks", "suites")
    return sorted(file.name.removesuffix(".toml") for file in files.iterdir() if file.name.endswith(".toml"))


def load_suite(reference: Path | str, given: Mapping[str, Path | str] | None = None) -> Suite:
    """The suite of a TOML file, or a published one by its name. `given`: the files that it leaves to its user."""
    path = Path(reference)
    problem = missing(path)
    if not problem:
        document = read_toml(path)
    elif str(reference) in published_suites():
        text = resources.files("orionlm").joinpath("tasks", "suites", f"{reference}.toml").read_text(encoding="utf-8")
        document = parse_toml(text, f"{reference}.toml")
    else:
        known = nearest(str(reference), published_suites())
        raise UserError(f"suite {str(reference)!r}: {problem}, and no published suite of that name: {known}")
    head = validate(Head, document.values, document)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", head.name):
        raise document.error(("name",), f"{head.name!r}: use letters, digits, dots, dashes and underscores")
    files = {name: Path(file) for name, file in (given or {}).items()}
    loaders = [_Loader(document, path.parent, files, name, table) for name, table in head.task.items()]
    tasks = tuple(loader.task() for loader in loaders)
    asked = {name for loader in loaders for name in loader.asked}
    for name in files:
        if name not in asked:
            raise UserError(f"suite {head.name}: takes no file called {name!r}; {nearest(name, asked)}")
    return Suite.of(head.name, tasks)


class _Loader:
    """One task of a suite being read; `asked` are the names of the files it left to the user."""

    def __init__(
        self, document: Document, folder: Path, given: Mapping[str, Path], name: str, table: dict[str, Any]
    ) -> None:
        self.document, self.folder, self.given, self.name = document, folder, given, name
        self.at: KeyPath = ("task", name)
        self.asked: set[str] = set()
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise UserError(
                f"{self._where(self.at)}: task {name!r}: use letters, digits, dots, dashes and underscores in its name"
            )
        self.format = self._format(table)
        self.settings = self._settings(table)
        self.written = set(table)

    def error(self, field: str, problem: str) -> UserError:
        return self.document.error((*self.at, field), problem)

    def task(self) -> Task:
        settings = self.settings
        try:
            checked_choices(settings.choices)
        except ValueError as error:
            raise self.error("choices", str(error).removeprefix("choices: ")) from None
        for field in IDLE[settings.kind]:
            if field in self.written:
                raise self.error(field, f"has no meaning in a task of kind {settings.kind}; take it out")
        if settings.system and not settings.chat:
            raise self.error("system", "only a chat has a system prompt; set chat = true, or use description")
        extraction = self._extraction()
        sampling = self._sampling()
        items = self._items(settings.items, "items", extraction.form)
        if settings.limit:
            items = items[: settings.limit]
        task = Task(
            name=self.name,
            kind=settings.kind,
            items=items,
            examples=self._examples(items, extraction.form),
            shots=settings.shots,
            prompt=settings.prompt if settings.prompt is not None else self._prompt(items),
            description=settings.description,
            delimiter=self._delimiter(),
            shot_delimiter=settings.shot_delimiter,
            chat=settings.chat,
            system=settings.system,
            letters=settings.letters,
            normalisation=settings.normalisation,
            extraction=self._natural(extraction, items),
            sampling=sampling,
            chance=self._chance(items),
            note=settings.note or (self.format.note(len(items)) if self.format and self.format.note else ""),
        )
        self._check(task)
        return task

    def _format(self, table: dict[str, Any]) -> Format | None:
        name = table.get("format")
        if name is None:
            return None
        if not isinstance(name, str) or name not in FORMATS:
            raise self.error("format", f"unknown format {str(name)!r}, {nearest(str(name), FORMATS)}")
        for field in {"fields", "choices"} & set(table):
            raise self.error(field, f"the {field} of {name} are known; take {field} out, or format")
        return FORMATS[name]

    def _settings(self, table: dict[str, Any]) -> Settings:
        defaults = dict(self.format.settings) if self.format else {}
        for field in ("sampling", "extract"):
            if isinstance(table.get(field), dict) and field in defaults:
                table = table | {field: defaults[field] | table[field]}
        return validate(Settings, defaults | table, self.document, self.at)

    def _extraction(self) -> Extraction:
        given = self.settings.extract or Extract()
        if given.pattern is not None:
            try:
                extract.check_pattern(given.pattern)
            except UserError as error:
                raise self.document.error((*self.at, "extract", "pattern"), str(error)) from None
        return Extraction(**given.model_dump() | {"form": given.form or "text"})

    def _sampling(self) -> Sampling:
        given = self.settings.sampling
        at = (*self.at, "sampling")
        for key in given:
            if key not in FREE:
                raise self.document.error((*at, key), f"unknown key, {nearest(key, FREE - set(given))}")
        assert {part.name for part in dataclass_fields(Sampling)} >= FREE
        stop = given.get("stop", [])
        stop = tuple(stop) if isinstance(stop, list) else stop
        try:
            sampling = Sampling(**{"temperature": 0.0, **given, "stop": stop}, n=self.settings.samples)
        except UserError as error:
            field = str(error).split(" ")[0].rstrip(":")
            raise self.document.error((*at, field), str(error)) from None
        if sampling.n > 1 and sampling.temperature == 0:
            raise self.error("samples", f"{sampling.n} answers at temperature 0 are one; set sampling.temperature")
        return sampling

    def _items(self, source: Any, field: str, form: Form) -> tuple[Item, ...]:
        """The checked items of a source; their ids are distinct."""
        at = (*self.at, field)
        if source is None and self.format and self.format.hub:
            name, config, split = self.format.hub
            source = {"hub": name, "split": split} | ({"config": config} if config else {})
        if source is None:
            raise self.error(field, "missing: name a file of items, a list, or a table that says where they come from")
        if isinstance(source, dict):
            kind = next((key for key in SOURCES if key in source), None)
            if kind is None:
                raise self.document.error(at, f"a table of items has one of the keys {', '.join(SOURCES)}")
            table: Any = validate(SOURCES[kind], source, self.document, at)
            if isinstance(table, (Generator, Corrupt)):
                made = self._generated(table, at) if isinstance(table, Generator) else self._corrupted(table, at)
                return tuple(made)
            rows = read_hub(table.hub, table.config, table.split, table.revision) if kind == "hub" else None
            rows = rows or read_rows(self._given(table.given, at))
        elif isinstance(source, list):
            rows = ((self._where((*at, n)), row) for n, row in enumerate(source))
        elif isinstance(source, str):
            rows = read_rows(self._file(source, at))
        else:
            raise self.document.error(at, f"{str(source)[:40]!r}: expected a file's name, a list, or a table")
        return self._read(rows, self.settings.limit if field == "items" else None, form, at)

    def _read(self, rows: Rows, limit: int | None, form: Form, at: KeyPath) -> tuple[Item, ...]:
        items: list[Item] = []
        seen: dict[str, str] = {}
        for number, (where, row) in enumerate(islice(rows, limit), start=1):
            try:
                if not isinstance(row, dict):
                    raise ValueError("expected a table, like { question = …, answer = … }")
                item = self._item(row, number, form)
            except ValueError as error:
                raise UserError(f"{where}: {error}") from None
            if item.id in seen:
                raise UserError(f"{where}: id {item.id!r} stands at {seen[item.id]} already; ids must differ")
            seen[item.id] = where
            items.append(item)
        if not items:
            raise self.document.error(at, "holds no items")
        return tuple(items)

    def _item(self, row: Mapping[str, Any], number: int, form: Form) -> Item:
        if self.format:
            return self.format.item(row, number)
        settings = self.settings
        return own(row, number, settings.kind, form, settings.fields, settings.choices)

    def _generated(self, table: Generator, at: KeyPath) -> list[Item]:
        chosen = family(table.generator)
        difficulty = validate(chosen.difficulty, table.difficulty, self.document, (*at, "difficulty"))
        try:
            return generate(table.generator, table.split, table.n, table.seed, difficulty, table.choices)
        except UserError as error:
            raise self.document.error(at, str(error)) from None

    def _corrupted(self, table: Corrupt, at: KeyPath) -> list[Item]:
        if (table.file is None) == (table.given is None):
            raise self.document.error(at, "corrupt needs texts: set file or given, and not both")
        path = self._given(table.given, at) if table.given else self._file(str(table.file), at)
        try:
            return corrupted.items(_texts(path, table), table.corrupt, table.n, table.seed, table.wrong)
        except UserError as error:
            raise self.document.error(at, str(error)) from None

    def _given(self, name: str, at: KeyPath) -> Path:
        self.asked.add(name)
        if name not in self.given:
            raise self.document.error(at, f"this suite needs a file for {name!r}: give {name}=FILE")
        return self.given[name]

    def _file(self, name: str, at: KeyPath) -> Path:
        path = self.folder / name
        if problem := missing(path):
            raise self.document.error(at, f"{path}: {problem}")
        return path

    def _where(self, at: KeyPath) -> str:
        line = self.document.line(at)
        return self.document.name if line is None else f"{self.document.name}:{line}"

    def _examples(self, items: tuple[Item, ...], form: Form) -> tuple[Item, ...]:
        """Those of `shots_from`; of a generator its training split; else the task's own items."""
        settings = self.settings
        if not settings.shots:
            if settings.shots_from is not None:
                raise self.error("shots_from", "no examples are shown; set shots")
            return ()
        if settings.shots_from is not None:
            return self._items(settings.shots_from, "shots_from", form)
        if isinstance(settings.items, dict) and "generator" in settings.items:
            return self._items(settings.items | {"split": "train", "n": settings.shots}, "items", form)
        return items

    def _prompt(self, items: tuple[Item, ...]) -> str:
        shown = self.settings.letters or (self.settings.kind == "generate" and any(item.choices for item in items))
        return "{question}\n{options}\nAnswer:" if shown else "{question}"

    def _delimiter(self) -> str:
        """Text goes on with a space after a question; code that was cut goes on where it was cut."""
        if self.settings.delimiter is not None:
            return self.settings.delimiter
        cut = isinstance(self.settings.items, dict) and "corrupt" in self.settings.items
        return "" if cut else " "

    def _natural(self, extraction: Extraction, items: tuple[Item, ...]) -> Extraction:
        """With the form that the items' answers have by themselves, where the suite names none."""
        if self.settings.kind != "generate" or (self.settings.extract and self.settings.extract.form):
            return extraction
        if items[0].choices:
            return replace(extraction, form="letter")
        generated = isinstance(self.settings.items, dict) and "generator" in self.settings.items
        return replace(extraction, form=form_of(list(items))) if generated else extraction

    def _chance(self, items: tuple[Item, ...]) -> float:
        if self.settings.chance is not None:
            return self.settings.chance
        return sum(1 / len(item.choices) for item in items if item.choices) / len(items)

    def _check(self, task: Task) -> None:
        """What only the items can tell: places of the prompt, choices, examples enough."""
        wanted = prompts.places(task.prompt)
        for item in (*task.items, *task.examples):
            if task.kind == "choice" and not item.choices:
                raise self.error("items", f"item {item.id!r} has no choices, and the task is a choice")
            if task.kind == "generate" and item.choices and task.extraction.form != "letter":
                raise self.error("extract", "items with choices are answered by a letter; set form = 'letter'")
            try:
                if task.kind == "code" or not item.choices:
                    checked_answer(item.answer, task.kind, task.extraction.form, ())
            except ValueError as error:
                raise self.error(
                    "extract" if task.kind == "generate" else "kind", f"item {item.id!r}: {error}"
                ) from None
            missing = wanted - set(prompts.values(item))
            if missing:
                known = ", ".join(sorted(prompts.values(item)))
                raise self.error("prompt", f"item {item.id!r} has no {min(missing)!r}; it has {known}")
        for item in task.items:
            others = len(prompts.examples(task, item))
            if others < task.shots:
                raise self.error("shots", f"{task.shots} examples, but there are only {others} besides a question")


def _texts(path: Path, table: Corrupt) -> Iterator[tuple[str, str]]:
    seen: dict[str, str] = {}
    for number, (where, row) in enumerate(read_rows(path), start=1):
        text = row.get(table.text)
        if not isinstance(text, str):
            raise UserError(f"{where}: no text in field {table.text!r}; the row has {', '.join(map(str, row))}")
        name = str(row.get(table.id, number))
        if name in seen:
            raise UserError(
                f"{where}: {table.id} {name!r} stands at {seen[name]} already; ids must differ: name them with id"
            )
        seen[name] = where
        yield name, text
