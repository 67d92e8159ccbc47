"""A pytest plugin that takes one check, named by WITHOUT_CHECK, out of promote before the tests run."""

from __future__ import annotations

import os

from modelgate.tracking import client
from steps import promote

name = os.environ["WITHOUT_CHECK"]
if name == "check_digest":  # it also gives the version that it looked at
    promote.check_digest = lambda api, what, judged: client.find(api, judged.name)
else:
    setattr(promote, name, lambda *_: None)
