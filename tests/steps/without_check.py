"""A pytest plugin that takes one check, named by WITHOUT_CHECK, out of promote before the tests run."""

from __future__ import annotations

import os

from steps import promote
from steps.common import record

name = os.environ["WITHOUT_CHECK"]
if name == "check_digest":  # it also gives the version that it looked at
    promote.check_digest = lambda api, evidence, what: record.find(api, evidence[what]["name"])
else:
    setattr(promote, name, lambda *_: None)
