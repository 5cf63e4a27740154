"""What does a refusal look like over HTTP? OpenAI's error object, with its status and headers."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A request that cannot be served: `status`, one line, and what OpenAI's clients read."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after

    def document(self) -> dict[str, Any]:
        kind = "rate_limit_error" if self.status == 429 else "server_error" if self.status >= 500 else None
        return {
            "error": {
                "message": self.message,
                "type": kind or "invalid_request_error",
                "param": self.param,
                "code": self.code,
            }
        }

    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"retry-after": str(self.retry_after)}


def bad_field(param: str, message: str, code: str | None = None) -> ApiError:
    """400 for one field of a body; `message` goes on after its name."""
    return ApiError(400, f"{param}{message}", param=param, code=code)
