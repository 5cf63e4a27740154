"""What text does a conversation become? The checkpoint's own chat template, or a plain one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orionlm.errors import UserError
from orionlm.inference.server.errors import ApiError

TEMPLATE, CONFIG = "chat_template.jinja", "tokenizer_config.json"

# For models without a template of their own: they have seen text, no conversations, so an answer ends where the next
# "User:" would begin.
PLAIN = """\
{%- for message in messages %}
    {%- if message.role in ('system', 'developer') %}
        {{- message.content + '\\n\\n' }}
    {%- else %}
        {{- ('User: ' if message.role == 'user' else 'Assistant: ') + message.content + '\\n\\n' }}
    {%- endif %}
{%- endfor %}
{{- 'Assistant:' }}"""
PLAIN_STOP = ("\n\nUser:",)


@dataclass(frozen=True)
class ChatTemplate:
    """`stop` strings belong to the format; `plain` where the checkpoint has no template of its own."""

    source: str
    variables: Mapping[str, Any]
    stop: tuple[str, ...] = ()
    plain: bool = False

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "_template", _environment().from_string(self.source))
        except TemplateError as error:
            raise UserError(f"chat template: {error}; mend {TEMPLATE}") from None

    def render(self, messages: Sequence[Mapping[str, str]], guard: Callable[[str], str]) -> str:
        """The prompt up to where the assistant speaks; `guard` goes over each message. Raises ApiError 400."""
        guarded = [{"role": message["role"], "content": guard(message["content"])} for message in messages]
        try:
            return self._template.render(  # type: ignore[attr-defined]
                messages=guarded, add_generation_prompt=True, tools=None, documents=None, **self.variables
            )
        except Exception as error:  # a template may fail in any way on messages it was not made for
            raise ApiError(
                400, f"messages: the model's chat template refuses them: {error}", param="messages"
            ) from None


def load_template(checkpoint: Path) -> ChatTemplate:
    """`chat_template.jinja`, else the one in `tokenizer_config.json`, else the plain one."""
    config: dict[str, Any] = {}
    if (checkpoint / CONFIG).is_file():
        try:
            config = json.loads((checkpoint / CONFIG).read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{checkpoint / CONFIG}: not JSON ({error}); restore it") from None
    source = config.get("chat_template")
    if isinstance(source, list):  # several by name
        source = next((entry["template"] for entry in source if entry.get("name") == "default"), None)
    if (checkpoint / TEMPLATE).is_file():
        source = (checkpoint / TEMPLATE).read_text(encoding="utf-8")
    if source is None:
        return ChatTemplate(PLAIN, {}, PLAIN_STOP, plain=True)
    names = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
    special = {name: config[name] for name in names if config.get(name) is not None}
    return ChatTemplate(
        source, {name: value["content"] if isinstance(value, dict) else value for name, value in special.items()}
    )


def _environment() -> ImmutableSandboxedEnvironment:
    """The names and filters that templates of the Hugging Face hub are written for."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _to_json(value: Any, indent: int | None = None, **how: Any) -> str:
    # Jinja's own filter escapes for HTML.
    return json.dumps(value, ensure_ascii=how.get("ensure_ascii", False), indent=indent)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


class _Generation(Extension):
    """`{% generation %}` marks what the assistant said, for training; here it is only its contents."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
