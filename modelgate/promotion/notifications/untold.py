"""Why something could not be told."""

from __future__ import annotations


class Untold(Exception):
    """
    The reason, fit to print: no address, key or answer of a receiver is in it. again: whether it may work in a moment.
    """

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.again = reason, again
