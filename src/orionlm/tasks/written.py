"""What may stand in a suite's TOML file? Its tables, checked before any item is read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orionlm.tasks.generators.corrupted import Make
from orionlm.tasks.generators.generate import Split
from orionlm.tasks.items import Fields
from orionlm.tasks.task import Form, Kind, Normalisation

FREE = {"max_tokens", "temperature", "top_p", "top_k", "min_p", "stop", "seed"}  # of Sampling's settings
IDLE = {
    "choice": ("sampling", "samples", "extract"),
    "generate": ("normalisation", "letters"),
    "code": ("normalisation", "letters", "extract", "choices"),
    "text": (
        "normalisation", "letters", "extract", "choices", "sampling", "samples", "shots", "shots_from", "prompt",
        "description", "delimiter", "shot_delimiter", "chat", "system", "chance",
    ),
}  # fmt: skip


class Table(BaseModel):
    """A table in which every key must be known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Extract(Table):
    """`extract = { pattern = …, form = … }`: as `orionlm.tasks.task.Extraction`."""

    pattern: str | None = None
    take: Literal["first", "last"] = "last"
    ignore_case: bool = False
    form: Form | None = None  # by itself that of the items: a letter for choices, a generator's own, else text
    tolerance: float = Field(0.0, ge=0, lt=1)


class Given(Table):
    """A file of rows that whoever loads the suite names."""

    given: str


class Hub(Table):
    """A split of a Hugging Face data set."""

    hub: str
    config: str | None = None
    split: str
    revision: str | None = None


class Generator(Table):
    """`n` questions of a family; `choices` numbers to choose from, where there are any."""

    generator: str
    n: int = Field(ge=1)
    split: Split = "test"
    seed: int = 0
    difficulty: dict[str, Any] = {}
    choices: int = 0


class Corrupt(Table):
    """Real and corrupted code, out of the column `text` of a file; `id` names the document."""

    corrupt: Make
    n: int = Field(ge=1)
    seed: int = 0
    wrong: int = 3
    file: str | None = None
    given: str | None = None
    text: str = "text"
    id: str = "id"


SOURCES: dict[str, type[BaseModel]] = {
    "corrupt": Corrupt, "generator": Generator, "hub": Hub, "given": Given,
}  # fmt: skip


class Settings(Table):
    """A task as the suite writes it; `orionlm.tasks.task.Task` says what each means."""

    kind: Kind
    format: str | None = None
    items: Any = None
    fields: Fields = Fields()
    choices: tuple[str, ...] = ()
    limit: int | None = Field(None, ge=1)
    shots: int = Field(0, ge=0, le=100)
    shots_from: Any = None
    prompt: str | None = None
    description: str = ""
    delimiter: str | None = None
    shot_delimiter: str = "\n\n"
    chat: bool = False
    system: str = ""
    letters: bool = False
    normalisation: Normalisation = "none"
    extract: Extract | None = None
    sampling: dict[str, Any] = {}
    samples: int = Field(1, ge=1, le=128)
    chance: float | None = Field(None, ge=0, lt=1)
    note: str = ""


class Head(Table):
    """A suite but for its tasks' own settings."""

    name: str
    task: dict[str, dict[str, Any]] = Field(min_length=1)
