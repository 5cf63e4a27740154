"""`orion chat`: a conversation in the terminal, with a checkpoint or with any server that speaks OpenAI's API."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import asyncio

    from aiohttp import ClientResponse, ClientSession
    from aiohttp.client import _RequestContextManager

    from orionlm.inference.client.endpoint import Endpoint

HINT = "/reset forgets the conversation, /exit or Ctrl-D ends it, Ctrl-C stops a reply"


def chat(
    target: Annotated[str, typer.Argument(metavar="CHECKPOINT|URL", help="A checkpoint, a run, or a server's URL.")],
    system: Annotated[str | None, typer.Option(help="What the model is told first.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token each time.")] = 0.8,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="At most so many tokens a reply.")] = None,
    model_name: Annotated[str | None, typer.Option(help="Which model there.  [default: the only one]")] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable with the API key.  [default: OPENAI_API_KEY, for OpenAI only]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a reply.")] = False,
) -> None:
    """Talk to a model. Without a terminal, each line of input is a message.

    A checkpoint without a chat template of its own goes on from "User: …" and "Assistant:" as plain text.

    \b
    Examples:
      orion chat runs/quickstart
      orion chat http://127.0.0.1:8000 --system "Answer in one line."
      echo "What is a heap?" | orion chat runs/quickstart --max-tokens 64 --json
    """
    import asyncio
    import signal

    asked = {"temperature": temperature} | ({} if max_tokens is None else {"max_tokens": max_tokens})
    # The runner turns Ctrl-C into an end of the reply that runs; elsewhere it is a KeyboardInterrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            try:
                conversation = runner.run(_open(stack, target, model_name, api_key_env, asked, system))
                _talk(runner, conversation, as_json)
            finally:
                runner.run(stack.aclose())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _talk(runner: asyncio.Runner, conversation: Conversation, as_json: bool) -> None:
    import json

    from orionlm.errors import UserError

    person = sys.stdin.isatty()
    if person:
        with suppress(ImportError):
            import readline  # noqa: F401  `input` edits its line and remembers earlier ones
    if person and not as_json:
        print(f"{conversation.model}: {HINT}", file=sys.stderr)
    while (message := _read("> " if person and not as_json else "")) is not None:
        command = message.strip()
        if command == "/exit":
            return
        if command == "/reset":
            conversation.reset()
        if not command or command == "/reset":
            continue
        show: Callable[[str], None] = _ignore if as_json else _show
        try:
            reply = runner.run(conversation.reply(message, show))
        except KeyboardInterrupt:
            reply = runner.run(conversation.interrupted())
        except UserError as error:
            if not person:
                raise
            print(f"error: {error}", file=sys.stderr)
            continue
        print(json.dumps(reply, ensure_ascii=False) if as_json else "", flush=True)


def _read(prompt: str) -> str | None:
    """One message; None at the end of the input."""
    while True:
        try:
            return input(prompt)
        except EOFError:
            return None
        except KeyboardInterrupt:
            if not prompt:
                raise
            print(f"\n({HINT})", file=sys.stderr)
        except UnicodeDecodeError:
            from orionlm.errors import UserError

            raise UserError("input: not UTF-8 text; give it in UTF-8") from None


def _show(text: str) -> None:
    if sys.stdout.isatty():  # a model must not steer the terminal
        text = "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    print(text, end="", flush=True)


def _ignore(text: str) -> None:
    pass


class Conversation:
    """What was said so far, and how the next reply is got."""

    def __init__(
        self, session: ClientSession, endpoint: Endpoint, model: str, asked: dict[str, Any], system: str | None
    ) -> None:
        self.session = session
        self.endpoint = endpoint
        self.model = model
        self.asked = asked
        self.first = [{"role": "system", "content": system}] if system else []
        self.messages = list(self.first)
        self._text: list[str] = []

    def reset(self) -> None:
        self.messages = list(self.first)

    async def reply(self, message: str, show: Callable[[str], None]) -> dict[str, Any]:
        """Says `message`; `show` gets the reply's text as it comes. A refused message is forgotten."""
        from orionlm.errors import UserError

        self.messages.append({"role": "user", "content": message})
        self._text = []
        finish, usage = None, None
        try:
            async for chunk in self._chunks():
                usage = chunk.get("usage") or usage
                for choice in chunk["choices"]:
                    text = choice["delta"].get("content") or ""
                    self._text.append(text)
                    show(text)
                    finish = choice["finish_reason"] or finish
        except UserError:
            self.messages.pop()
            raise
        except (ValueError, KeyError, TypeError, AttributeError):
            self.messages.pop()
            raise UserError(f"{self.endpoint.url}: no stream of a chat's chunks; is a model server there?") from None
        return self._said(finish, usage)

    async def interrupted(self) -> dict[str, Any]:
        """The reply that Ctrl-C stopped, as far as it came; it stays part of the conversation."""
        import asyncio

        await asyncio.sleep(0.05)  # a server of our own runs on this loop: now it sees that nobody listens
        return self._said("interrupted", None)

    def _said(self, finish: str | None, usage: dict[str, int] | None) -> dict[str, Any]:
        said, text = self.messages[-1]["content"], "".join(self._text)
        self.messages.append({"role": "assistant", "content": text})
        return {"message": said, "reply": text, "finish_reason": finish, "usage": usage}

    async def _chunks(self) -> AsyncIterator[dict[str, Any]]:
        import json

        from orionlm.errors import UserError

        url = self.endpoint.url
        body = {"model": self.model, "messages": self.messages, "stream": True, **self.asked}
        body["stream_options"] = {"include_usage": True}
        post = self.session.post(f"{url}/chat/completions", json=body, headers=self.endpoint.headers)
        done = False
        async with _answered(post, url) as response:
            async for line in response.content:
                if line.strip() == b"data: [DONE]":
                    done = True
                elif line.startswith(b"data: "):
                    chunk = json.loads(line[6:])
                    if "error" in chunk:
                        raise UserError(_line(chunk["error"]))
                    yield chunk
        if not done:
            raise UserError("the server's reply broke off; say it again")


async def _open(
    stack: AsyncExitStack,
    target: str,
    model_name: str | None,
    api_key_env: str | None,
    asked: dict[str, Any],
    system: str | None,
) -> Conversation:
    """A conversation with the server at a URL, or with one started here for a checkpoint."""
    from orionlm.inference.client.endpoint import Endpoint

    if "://" in target:
        endpoint = Endpoint.at(target, api_key_env)
    else:
        from orionlm.cli.checkpoints import find_checkpoint
        from orionlm.inference.server.run import Settings, serving
        from orionlm.progress import Progress

        settings = Settings(find_checkpoint(Path(target)), port=0)
        endpoint = Endpoint.at((await stack.enter_async_context(serving(settings, say=Progress().say))).url)
    model = await endpoint.choose(model_name)
    return Conversation(await stack.enter_async_context(endpoint.session()), endpoint, model.name, asked, system)


@asynccontextmanager
async def _answered(request: _RequestContextManager, url: str) -> AsyncIterator[ClientResponse]:
    """The response of a server that is there and agrees. Raises UserError with its own line otherwise."""
    import aiohttp

    from orionlm.errors import UserError

    try:
        async with request as response:
            if response.status != 200:
                try:
                    line = _line((await response.json())["error"])
                except (ValueError, KeyError, TypeError, aiohttp.ContentTypeError):
                    line = response.reason or ""
                raise UserError(f"{url}: {response.status}: {line}")
            yield response
    except aiohttp.ClientError as error:
        raise UserError(f"{url}: no server that answers ({error}); start one with orion serve") from None


def _line(error: Any) -> str:
    return str(error["message"] if isinstance(error, dict) else error)
