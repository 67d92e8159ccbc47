"""
Write the published format of evidence, as JSON Schema.

    python -m modelgate.promotion.evidence_schema      # after a change to the dataclass; a test compares the two
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic.json_schema import GenerateJsonSchema

from modelgate.promotion.evidence import TYPE

PATH = Path(__file__).with_name("evidence.schema.json")


class _Plain(GenerateJsonSchema):
    """Remove the titles that repeat each field's name."""

    def field_title_should_be_set(self, _schema: object) -> bool:
        return False


def write_schema() -> str:
    """Return the content of the schema file."""
    schema = {"$schema": _Plain.schema_dialect, **TYPE.json_schema(schema_generator=_Plain)}
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(write_schema(), encoding="utf-8")
