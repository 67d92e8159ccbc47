"""
Load the manual that comes with Python (`pydoc_data.topics`), licence PSF 2.0.
"""

from __future__ import annotations

import hashlib
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from modelgate.rows.dataset import Dataset, NotEnoughRows, Source, SourceUnavailable

# A target is an index into them.
CLASSES = ("statements", "special methods", "strings", "debugger")
_TOPICS = ("compound",), ("specialnames",), ("string-methods", "formatstrings"), ("debugger",)
_NO_PROSE = re.compile(r"[*=-]{4}|>>>|::=")


def source() -> Source:
    """Return where the rows come from, and the sha256 of that file."""
    spec = find_spec("pydoc_data.topics")
    if spec is None or spec.origin is None:
        raise SourceUnavailable(
            "this Python comes without pydoc_data", "install the complete standard library of Python"
        )
    return Source("pydoc_data.topics", hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest())


def load(rows: int, eval_rows: int) -> Dataset:
    """Return `rows` texts for training and `eval_rows` others for evaluation, the same every time."""
    from pydoc_data.topics import topics

    known: dict[str, int] = {}  # each paragraph once, although the manual repeats some
    for label, names in enumerate(_TOPICS):
        for paragraph in re.split(r"\n\s*\n", "\n\n".join(topics[name] for name in names)):
            text = " ".join(paragraph.split())
            if len(text) > 60 and not _NO_PROSE.search(text):
                known.setdefault(text, label)
    if rows + eval_rows > len(known):
        raise NotEnoughRows(f"there are {len(known)} texts in all; asked for {rows} + {eval_rows}")
    order = np.random.default_rng(0).permutation(len(known)).tolist()
    texts, target = list(known), np.array(list(known.values()), dtype=np.int64)
    train, evaluate = order[:rows], order[-eval_rows:]
    return Dataset([texts[row] for row in train], target[train], [texts[row] for row in evaluate], target[evaluate])
