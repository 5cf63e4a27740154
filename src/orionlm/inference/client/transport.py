"""What became of one HTTP call? An answer, or why not, whether it may have been billed, and whether to try again."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import aiohttp

from orionlm.inference.client.budget import Amount, Tariff
from orionlm.inference.client.limiter import retry_after
from orionlm.inference.client.response import Answer, Malformed, Said, error_code, error_line, parse

LARGEST_BODY = 64 << 20
CONNECT_SECONDS = 30.0
_AGAIN = (408, 409, 425, 429)
_NOT_THE_ROW = (401, 402, 404, 405, 407)  # the account's or the address's fault: mend that, and the same row is fine


@dataclass(frozen=True)
class Outcome:
    """`billed`: it may have been. `permanent`: the same request would fail again; `hopeless`: so would any other.
    `pushed_back`: the server has too much to do. `wait`: seconds it asked for."""

    body: bytes = b""
    said: Said | None = None
    error: str = ""
    status: int = 0
    billed: bool = False
    retry: bool = True
    permanent: bool = False
    pushed_back: bool = False
    hopeless: bool = False
    wait: float | None = None


def bought(base: Answer, outcome: Outcome, actual: Amount, tariff: Tariff, key: str) -> Answer:
    """`base` with what was said and what it cost; the API key is cut out, should the server have sent it back."""
    said = outcome.said
    assert said is not None
    usage = said.usage
    return replace(
        base,
        body=outcome.body.replace(key.encode(), b"[key]") if key else outcome.body,
        finish=said.finish,
        status=outcome.status,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        nanodollars=actual.nanodollars if tariff.price(base.model) else None,
        flops=float(actual.flops) if base.model in tariff.flops_per_token else None,
        model=said.model or base.model,
        revision=base.revision or "/".join(["unpinned", *filter(None, (said.model, said.fingerprint))]),
    )


def failed(base: Answer, outcome: Outcome, key: str) -> Answer:
    """`base` with why there is no answer."""
    return replace(
        base,
        error=without(key, outcome.error),
        status=outcome.status,
        permanent=outcome.permanent,
        excerpt=without(key, outcome.body[:20_000].decode(errors="replace")),
    )


def without(key: str, text: str) -> str:
    return text.replace(key, "[key]") if key else text


async def send(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str], total: float, stall: float
) -> Outcome:
    """POST `body`; `total` seconds for everything, `stall` between two pieces of the response."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + total
    status, pieces, size = 0, [], 0
    answered: Mapping[str, str] = {}
    problem = ""
    timed_out = False
    try:
        async with asyncio.timeout_at(deadline) as limit:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status, answered = response.status, response.headers
                limit.reschedule(min(deadline, loop.time() + stall))
                async for piece in response.content.iter_any():
                    limit.reschedule(min(deadline, loop.time() + stall))
                    size += len(piece)
                    if size > LARGEST_BODY:
                        problem = f"a response of more than {LARGEST_BODY >> 20} MiB"
                        response.close()
                        break
                    pieces.append(piece)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        return Outcome(error=f"no connection: {reason(error)}")
    except TimeoutError:
        timed_out = True
        late = loop.time() >= deadline
        problem = f"no whole response in {total:.3g} s" if late else f"stalled: nothing for {stall:.3g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        problem = f"the connection broke: {reason(error)}"
    whole = b"".join(pieces)
    if problem and status == 200 and whole.rstrip().endswith(b"data: [DONE]"):
        problem = ""  # said in full; only the connection was not closed
    if problem and status in (0, 200):
        return Outcome(whole, error=problem, status=status, billed=True, pushed_back=timed_out)
    return judge(status, answered, whole)


def judge(status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
    """What a response that came in means."""
    if status == 200:
        try:
            return Outcome(body, parse(body), status=status)
        except Malformed as why:
            return Outcome(body, error=f"malformed response: {why}", status=status, billed=True)
    if 200 <= status < 300:
        return Outcome(body, error=f"HTTP {status} where 200 is expected", status=status, billed=True)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    said = error_line(document)
    error = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if 300 <= status < 400:
        error = f"HTTP {status}: the address moved; give the new one"
        return Outcome(body, error=error, status=status, retry=False, hopeless=True)
    broke = "insufficient_quota" in (error_code(document), _type(document))
    again = (status in _AGAIN or status >= 500) and not broke
    told_not_to = headers.get("x-should-retry", "").lower() == "false"
    return Outcome(
        body,
        error=error,
        status=status,
        retry=again and not told_not_to,
        permanent=not again and not broke and status not in _NOT_THE_ROW,
        pushed_back=status in (429, 503),
        hopeless=broke or status in _NOT_THE_ROW,
        wait=retry_after(headers),
    )


def _type(document: object) -> object:
    error = document.get("error") if isinstance(document, dict) else None
    return error.get("type") if isinstance(error, dict) else None


def reason(error: BaseException) -> str:
    """Why a connection failed, in the system's words."""
    cause = getattr(error, "os_error", None) or error
    number = getattr(cause, "errno", None)
    said = os.strerror(number) if isinstance(number, int) and number > 0 else str(cause)
    return " ".join((said or type(cause).__name__).split())[:200]
