"""The file that GLYPHS_NPZ names: arrays `images` float32 (N, 8, 8, 1) in [0, 1] and `labels` int64 (N,)."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from modelgate.rows.dataset import Dataset, Source, SourceUnavailable, SourceUnreadable

CLASSES = tuple(range(10))
SHAPE = (8, 8, 1)


def source() -> Source:
    """The file and its sha256; raises SourceUnavailable if none is named."""
    return Source("GLYPHS_NPZ", hashlib.sha256(_path().read_bytes()).hexdigest())


def load(rows: int, eval_rows: int) -> Dataset:
    """The first `rows` for training, the last `eval_rows` for evaluation."""
    try:
        with np.load(_path(), allow_pickle=False) as stored:
            images, labels = stored["images"], stored["labels"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SourceUnreadable(f"{_path()} has no glyphs: {error}", "name another file") from error
    return Dataset(images[:rows], labels[:rows], images[-eval_rows:], labels[-eval_rows:])


def picture(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """What a person sees of a row: uint8 (height, width)."""
    return np.rint(image[..., 0] * 255).astype(np.uint8)


def _path() -> Path:
    named = os.environ.get("GLYPHS_NPZ", "")
    if not Path(named).is_file():
        raise SourceUnavailable(f"GLYPHS_NPZ names {named!r}, which is no file", "set GLYPHS_NPZ")
    return Path(named)
