"""The one table of ways to write: where each lives. A method is a file here and a row below."""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template
    from pydantic import BaseModel

METHODS: dict[str, str] = {
    "rephrase": "orionlm.synth.methods.rephrase",
    "seeded": "orionlm.synth.methods.seeded",
    "continuation": "orionlm.synth.methods.continuation",
    "chain": "orionlm.synth.methods.chain",
    "dialogue": "orionlm.synth.methods.dialogue",
    "code": "orionlm.synth.methods.code",
    "problems": "orionlm.synth.methods.problems",
    "solved": "orionlm.synth.methods.solved",
}


def load(name: str) -> ModuleType:
    """The method's module: `Settings`, NAME, PAPER, WORTH, and `write(settings, seeds, desk)`."""
    return importlib.import_module(METHODS[name])


@cache
def template(name: str) -> Template:
    """The prompt in the file `name` beside the methods (`rephrase/faq.txt`). A name that it is not given is an error,
    and seeds cannot reach anything from it."""
    from importlib import resources

    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    text = (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)
    return environment.from_string(text.strip())


def choices() -> dict[str, Any]:
    """The fields of settings in which methods are chosen: a method's own settings, or true for what it does unasked."""
    return {name: (bool | load(name).Settings, False) for name in METHODS}


def chosen(settings: BaseModel) -> dict[str, BaseModel]:
    """The methods that settings with `choices` ask for, in the table's order."""
    found = {name: getattr(settings, name) for name in METHODS}
    return {
        name: load(name).Settings() if value is True else value for name, value in found.items() if value is not False
    }
