"""
Load lines of conversations about six topics: 1,377 different ones, in English.

Rows: the package chatterbot-corpus 1.3.3 (github.com/gunthercox/chatterbot-corpus), licence BSD 3-Clause, in this use
case's requirements.in. Its YAML files are read by path; the package itself is not imported.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import yaml  # type: ignore[import-untyped]

from modelgate.rows.dataset import Dataset, NotEnoughRows, Source, SourceUnavailable

CLASSES = ("trivia", "emotion", "coding", "ai", "conversations", "psychology")


def _files() -> list[Path]:
    package = find_spec("chatterbot_corpus")
    if package is None or not package.submodule_search_locations:
        raise SourceUnavailable("chatterbot-corpus is not installed", "make setup USE_CASE=topics")
    folder = Path(package.submodule_search_locations[0]) / "data" / "english"
    return [folder / f"{topic}.yml" for topic in CLASSES]


def source() -> Source:
    """Return where the rows come from, and the sha256 of those files."""
    content = b"".join(file.read_bytes() for file in _files())
    return Source("chatterbot-corpus 1.3.3", hashlib.sha256(content).hexdigest())


def load(rows: int, eval_rows: int) -> Dataset:
    """Return `rows` lines for training and `eval_rows` others for evaluation."""
    known: dict[str, int] = {}  # each line once, by the first topic that has it
    for label, file in enumerate(_files()):
        for conversation in yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]:
            for line in conversation:
                known.setdefault(" ".join(str(line).split()), label)
    known.pop("", None)
    if rows + eval_rows > len(known):
        raise NotEnoughRows(f"topics has {len(known)} lines in all; asked for {rows} + {eval_rows}")
    order = np.random.default_rng(0).permutation(len(known)).tolist()
    lines, labels = list(known), np.array(list(known.values()), dtype=np.int64)
    train, evaluate = order[:rows], order[-eval_rows:]
    return Dataset([lines[row] for row in train], labels[train], [lines[row] for row in evaluate], labels[evaluate])
