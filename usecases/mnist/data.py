"""
Load MNIST as Keras publishes it: one `mnist.npz`, 60,000 + 10,000 images of 28 by 28 pixels, values 0 to 255.

The order of sources is: the file that MNIST_NPZ names, Keras's own cache, Keras's own address. This module downloads
the file itself, because Keras's download has no timeout, and importing Keras takes seconds. Source:
keras/src/datasets/mnist.py (address and sha256).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import numpy.typing as npt

from modelgate.rows.dataset import Dataset, NotEnoughRows, Source, SourceUnavailable, SourceUnreadable

CLASSES = tuple(range(10))
SHAPE = (28, 28, 1)
ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
TIMEOUT_S = 10
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # all of them uint8
_HINT = "set MNIST_NPZ to a copy of Keras's mnist.npz, or run make run USE_CASE=digits, which needs no file"


def source() -> Source:
    """Return where the rows come from, and the sha256 of that file. Download it if necessary; raise
    SourceUnavailable.
    """
    name, path = _file()
    return Source(name, _sha256(path))


def load(rows: int, eval_rows: int) -> Dataset:
    """Return the first `rows` of Keras's training rows and the first `eval_rows` of its test rows."""
    _, path = _file()
    arrays = _read(path)
    for flag, count, images in (("rows", rows, arrays["x_train"]), ("eval-rows", eval_rows, arrays["x_test"])):
        if count > len(images):
            raise NotEnoughRows(f"{path} has {len(images)} rows for --{flag}; asked for {count}")
    return Dataset(
        _scaled(arrays["x_train"][:rows]),
        arrays["y_train"][:rows].astype(np.int64),
        _scaled(arrays["x_test"][:eval_rows]),
        arrays["y_test"][:eval_rows].astype(np.int64),
    )


def picture(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return a row as people see it: uint8 (height, width), the pixels of the source."""
    return np.rint(image[..., 0] * 255).astype(np.uint8)


# ---------------------------------------------------------------------------------------------------------------------


def _file() -> tuple[str, Path]:
    """Return the file to read, and a name for its origin."""
    if path := os.environ.get("MNIST_NPZ"):
        if not Path(path).is_file():
            raise SourceUnavailable(f"MNIST_NPZ names {path!r}, but this file does not exist", _HINT)
        return "MNIST_NPZ", Path(path)
    cached = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets" / "mnist.npz"
    # If Keras's cache has other bytes, Keras must fix it. It is not used here.
    if not cached.is_file() or _sha256(cached) != SHA256:
        _download(cached)
    return "Keras's mnist.npz", cached


def _download(target: Path) -> None:
    """Download Keras's file into Keras's cache: complete and checked, or not at all."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(ADDRESS, timeout=TIMEOUT_S) as answer,
            tempfile.NamedTemporaryFile(dir=target.parent, prefix="mnist.", delete=False) as partial,
        ):
            part = Path(partial.name)
            try:
                while chunk := answer.read(1 << 20):
                    partial.write(chunk)
                partial.flush()
                if (sha256 := _sha256(part)) != SHA256:
                    raise SourceUnavailable(f"{ADDRESS} answered with other bytes (sha256 {sha256})", _HINT)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise SourceUnavailable(f"MNIST could not be downloaded from {ADDRESS}: {reason}", _HINT) from error


def _read(path: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """Return the four arrays of the file, with checked types and shapes; raise SourceUnreadable."""
    with path.open("rb") as file:
        head = file.read(16)
    if not head.startswith(b"PK"):
        problem = f"begins with {head!r}" if head else "is empty"
        raise SourceUnreadable(f"{path} is not Keras's mnist.npz: it {problem}", _HINT)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name]) for name in _ARRAYS}  # a member that is not an array is bytes
    except Exception as error:  # zip, zlib and NumPy have a dozen for bytes that are damaged
        raise SourceUnreadable(f"{path} is not Keras's mnist.npz: {type(error).__name__}: {error}", _HINT) from error
    for split in ("train", "test"):
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        kinds = {str(images.dtype), str(labels.dtype)}
        if kinds != {"uint8"} or images.shape != (*labels.shape[:1], *SHAPE[:2]):
            raise SourceUnreadable(
                f"{path} is not Keras's mnist.npz: x_{split} is {images.dtype} {images.shape} "
                f"and y_{split} is {labels.dtype} {labels.shape}",
                _HINT,
            )
    return arrays


def _scaled(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return (images.astype(np.float32) / np.float32(255))[..., np.newaxis]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
