"""A ledger and a registry as promotions leave them."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelgate.promotion import ledger, verify
from modelgate.promotion.ledger import Entry
from modelgate.promotion.verify import Seal

REGISTRY = "org/wandb-registry-model/glyphs"


def named(number):
    return {"name": f"{REGISTRY}:v{number}", "digest": f"{number:032d}"}


def of_project(name, number):
    return {"name": f"team/project/{name}:v{number}", "digest": f"{number:032d}"}


@dataclass
class History:
    """A ledger and its registry, as promote would leave them."""

    entries: list[Entry] = field(default_factory=list)
    seals: list[Seal] = field(default_factory=list)
    production: int | None = None
    raced: set[int] = field(default_factory=set)

    @property
    def head(self):
        return next((entry for entry in reversed(self.entries) if not entry.void), None)

    def sealed(self, entry):
        return entry.number in {seal.number for seal in self.seals}

    def write(self, to, previous, void=False):
        before = None if self.production is None else named(self.production)
        head = self.head
        passed_over = head is not None and not self.sealed(head) and head.content["to"] != before
        content = {
            "previous": previous,
            "voids": head.number if passed_over else None,
            "account": "ada",
            "from": before,
            "to": named(to),
            "model": of_project("model", to),
            "dataset": of_project("dataset", 0),
            "evidence": of_project("evaluation", len(self.entries)),
            "approver": "ada",
            "time": "2026-11-23T10:00:00Z",
            "reason": "",
        }
        entry = Entry(len(self.entries), content, void=void, metadata={"entry": content})
        self.entries.append(entry)
        return entry

    def seal(self, entry):
        number = entry.number
        self.seals += verify.parse_seals(["latest", ledger.get_seal(entry)], entry.content["to"]["name"])
        assert self.seals[-1].number == number

    # --- what people do ---

    def promote(self, to):
        entry = self.write(to, self.head and self.head.sha256)
        self.seal(entry)
        self.production = to
        return entry

    def race(self, to):
        """Two promotions at once: the second of them is void."""
        previous, production = self.head and self.head.sha256, self.production
        self.promote(to)
        now, self.production = self.production, production
        void = self.write((to + 1) % 6, previous, void=True)
        self.production = now
        self.raced.add(void.number)

    def interrupted(self, to):
        """Killed before the alias was set, or not allowed to set it. evaluate never lets a version replace itself."""
        self.write((to + 1) % 6 if to == self.production else to, self.head and self.head.sha256)

    def outside(self, to):
        """Someone sets the alias by hand."""
        self.production = to
