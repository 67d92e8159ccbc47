"""Define the reason why a message could not be sent."""

from __future__ import annotations


class Untold(Exception):
    """
    The reason, safe to print: it contains no address, key or answer of a receiver. again: whether a retry may work.
    """

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.again = reason, again
