"""Define how a request is refused."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A refused request. status: the HTTP status. column: the wrong column, if it is one."""

    def __init__(
        self, message: str, status: int = 400, *, name: str = "bad_request", column: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.name = name
        self.column = column

    def as_json(self) -> dict[str, Any]:
        """Return the body: `error` is a text, as in the protocol; name and column are for programs."""
        column = {"column": self.column} if self.column else {}
        return {"error": str(self), "name": self.name, **column}
