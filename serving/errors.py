"""What a request is refused with."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that is not answered. status: of HTTP. column: the one that is wrong, if it is one."""

    def __init__(
        self, message: str, status: int = 400, *, name: str = "bad_request", column: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.name = name
        self.column = column

    def as_json(self) -> dict[str, Any]:
        """As the protocol has it, `error` is a text; name and column are for programs."""
        column = {"column": self.column} if self.column else {}
        return {"error": str(self), "name": self.name, **column}
