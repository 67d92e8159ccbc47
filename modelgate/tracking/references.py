"""
Name W&B artifact versions, as the steps pass them on: pinned, `entity/project/name:v3`, never an alias.

An alias may name another version by the time the next step reads it; a version number does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelgate.errors import WRONG_USE, StepError

if TYPE_CHECKING:
    from wandb import Artifact

_PINNED = re.compile(r"(?P<entity>[^/:]+)/(?P<project>[^/:]+)/(?P<name>[A-Za-z0-9_.\-]+):v(?P<number>[0-9]{1,18})")


@dataclass(frozen=True)
class Reference:
    """One version of one artifact collection."""

    entity: str
    project: str
    name: str
    number: int

    @classmethod
    def parse(cls, text: str, flag: str) -> Reference:
        """Read `entity/project/name:vN`; anything else, `:latest` included, is wrong use of `flag`."""
        if not (match := _PINNED.fullmatch(text)):
            raise StepError(
                "reference_not_pinned",
                f"{flag} {text!r} is not a pinned version",
                "use entity/project/name:vN, as the previous step prints it",
                WRONG_USE,
            )
        return cls(match["entity"], match["project"], match["name"], int(match["number"]))

    @classmethod
    def pin(cls, artifact: Artifact) -> Reference:
        """
        Return the pinned name of a version that has a number in W&B.

        If the name has a number, use that one: for a listed link, the SDK's `version` is the number of the linked model
        (wandb 0.31.0, Artifact._assign_attrs without a membership).
        """
        name, _, number = artifact.name.partition(":")
        pinned = number if re.fullmatch(r"v\d+", number) else artifact.version
        return cls.parse(f"{artifact.entity}/{artifact.project}/{name}:{pinned}", "")

    def require_in(self, collection: str, use_case: str) -> None:
        """Refuse a version of another use case's collection, in any registry."""
        if self.name != collection:
            raise StepError(
                "other_collection",
                f"{self} is not a version of {collection!r}, the collection of the use case {use_case!r}",
                f"use a version of {collection!r}, or the use case that owns {self.name!r}; after a trial in another "
                f"collection: --collection {self.name}",
            )

    @property
    def collection(self) -> str:
        """`entity/project/name`: all versions of it."""
        return f"{self.entity}/{self.project}/{self.name}"

    def __str__(self) -> str:
        return f"{self.collection}:v{self.number}"
