"""
Where MNIST comes from, and what happens when it is not available.

    pytest usecases/mnist
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import pickle
import threading
import zipfile

import numpy as np
import pytest

from modelgate.errors import UNREACHABLE, StepError
from modelgate.rows.dataset import Source, SourceUnavailable
from steps import build
from usecases.mnist import data as mnist


@pytest.fixture
def npz(tmp_path):
    """A file like Keras's, with 30 + 20 rows."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 28, 28), dtype=np.uint8)
    labels = (np.arange(50) % 10).astype(np.uint8)
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=images[:30], y_train=labels[:30], x_test=images[30:], y_test=labels[30:])
    return path


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    monkeypatch.delenv("MNIST_NPZ", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras"


@pytest.fixture
def address(npz, monkeypatch):
    """Keras's address, answered by a local server with the bytes of `npz`; yields what it was asked for."""
    paths = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(npz.read_bytes())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        monkeypatch.setattr(mnist, "ADDRESS", f"http://127.0.0.1:{listening.server_port}/mnist.npz")
        monkeypatch.setattr(mnist, "SHA256", hashlib.sha256(npz.read_bytes()).hexdigest())
        yield paths
        listening.shutdown()


def test_mnist_npz_names_the_file(npz, monkeypatch):
    monkeypatch.setenv("MNIST_NPZ", str(npz))
    assert mnist.source() == Source("MNIST_NPZ", hashlib.sha256(npz.read_bytes()).hexdigest())
    rows = mnist.load(30, 20)
    with np.load(npz) as stored:
        assert np.array_equal(np.rint(rows.x_train[..., 0] * 255), stored["x_train"])
        assert np.array_equal(mnist.picture(rows.x_eval[4]), stored["x_test"][4])


def test_mnist_npz_that_is_not_there_is_refused_and_nothing_else_is_tried(monkeypatch, address):
    monkeypatch.setenv("MNIST_NPZ", "nowhere.npz")
    with pytest.raises(SourceUnavailable, match=r"'nowhere\.npz'"):
        mnist.source()
    assert address == []


@pytest.mark.parametrize("content", [b"", b"PK no zip", b"\x93NUMPY", b"PK\x03\x04"])
def test_mnist_npz_of_another_kind_is_refused(tmp_path, monkeypatch, content):
    (tmp_path / "other.npz").write_bytes(content)
    monkeypatch.setenv("MNIST_NPZ", str(tmp_path / "other.npz"))
    with pytest.raises(SourceUnavailable, match="is not Keras's"):
        mnist.load(1, 1)


def test_mnist_npz_of_other_shapes_is_refused(npz, monkeypatch):
    with np.load(npz) as stored:
        arrays = dict(stored)
    np.savez(npz, **arrays | {"x_test": arrays["x_test"][:, :27]})
    monkeypatch.setenv("MNIST_NPZ", str(npz))
    with pytest.raises(SourceUnavailable, match="x_test is uint8"):
        mnist.load(1, 1)


ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def stored(path):
    with np.load(path) as file:
        return dict(file)


def saved(path, **changes):
    np.savez(path, **{name: array for name, array in (stored(path) | changes).items() if array is not None})


def flipped(path, offset):
    """One byte changed, so that a checksum of the zip is wrong."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def with_member(path, name, data, method=zipfile.ZIP_STORED):
    """The zip with other content instead of one array."""
    with zipfile.ZipFile(path) as old:
        members = {member: old.read(member) for member in old.namelist()}
    with zipfile.ZipFile(path, "w", method) as new:
        for member, content in (members | {name: data}).items():
            new.writestr(member, content)


def pickled(path):
    with path.open("wb") as file:
        pickle.dump({"x_train": [1]}, file)


BAD = {
    "an HTML page": lambda path: path.write_text("<!DOCTYPE html><title>404</title>"),
    "no byte": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"P"),
    "text": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 11490434\n"),
    "gzip": lambda path: path.write_bytes(gzip.compress(path.read_bytes())),
    "a pickle": pickled,
    "one array alone": lambda path: path.write_bytes(npy(np.zeros(3))),
    "zeros": lambda path: path.write_bytes(bytes(1000)),
    "the start of a zip": lambda path: path.write_bytes(b"PK\x03\x04"),
    "the first half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "all but the last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "without the end of the zip": lambda path: path.write_bytes(path.read_bytes()[:-22]),
    "an empty zip": lambda path: zipfile.ZipFile(path, "w").close(),
    "a bad CRC": lambda path: flipped(path, 1000),
    "a bad array header": lambda path: with_member(path, "x_train.npy", b"\x93NUMPY\x01\x00\x05\x00oops!"),
    "an array header that is code": lambda path: with_member(
        path, "x_train.npy", b"\x93NUMPY\x01\x00\x46\x00" + b"__import__('os').system('true')".ljust(69) + b"\n"
    ),
    "an array that ends early": lambda path: with_member(
        path, "x_train.npy", npy(np.zeros((9, 28, 28), np.uint8))[:500]
    ),
    "an array of a terabyte": lambda path: with_member(
        path, "x_train.npy", npy(np.zeros((1, 28, 28), np.uint8)).replace(b"(1, 28, 28)", b"(1 << 40,)  ")
    ),
    "an array that is empty bytes": lambda path: with_member(path, "y_train.npy", b""),
    "another compression": lambda path: with_member(path, "x_train.npy", b"x" * 100, zipfile.ZIP_LZMA),
    "a missing array": lambda path: saved(path, y_test=None),
    "a 0-d array": lambda path: saved(path, x_train=np.uint8(3)),
    "0-d labels": lambda path: saved(path, y_train=np.uint8(3)),
    "int64 labels": lambda path: saved(path, y_train=stored(path)["y_train"].astype(np.int64)),
    "float images": lambda path: saved(path, x_train=stored(path)["x_train"].astype(np.float32)),
    "objects": lambda path: saved(path, y_train=np.array([None, 1], dtype=object)),
    "text as labels": lambda path: saved(path, y_test=np.array(["3"] * 20)),
    "images in one dimension": lambda path: saved(path, x_train=stored(path)["x_train"].reshape(-1)),
    "images of another size": lambda path: saved(path, x_test=stored(path)["x_test"][:, :27]),
    "images with a channel": lambda path: saved(path, x_test=stored(path)["x_test"][..., None]),
    "fewer labels than images": lambda path: saved(path, y_train=stored(path)["y_train"][:-1]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "nothing": lambda path: path.unlink(),
}


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("spoil", BAD.values(), ids=list(BAD))
def test_a_file_that_is_not_what_it_should_be_ends_with_exit_3_and_one_sentence(npz, monkeypatch, spoil):
    spoil(npz)
    monkeypatch.setenv("MNIST_NPZ", str(npz))
    with pytest.raises(StepError) as refused:
        build.read_source(mnist)
        build.read_rows(mnist, "image-classification", 10, 10)
    message = str(refused.value)
    assert refused.value.exit_code == UNREACHABLE
    assert str(npz) in message and len(message) < 600 and message.isprintable()
    assert "MNIST_NPZ" in refused.value.hint
    # A person chose this file: no other use case replaces this one.
    assert refused.value.name == ("source_unreadable" if npz.is_file() else "source_unavailable")


def test_a_file_that_is_what_it_should_be_is_read(npz, monkeypatch):
    monkeypatch.setenv("MNIST_NPZ", str(npz))
    assert build.read_source(mnist).name == "MNIST_NPZ"
    assert len(build.read_rows(mnist, "image-classification", 20, 20).x_train) == 20


def test_mnist_is_downloaded_once_into_kerass_cache(keras_home, address, npz):
    assert mnist.source() == mnist.source()
    assert (keras_home / "datasets" / "mnist.npz").read_bytes() == npz.read_bytes()
    assert len(address) == 1


def test_a_cache_of_other_bytes_is_not_used(keras_home, address, npz):
    cached = keras_home / "datasets" / "mnist.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(npz.read_bytes()[:100])
    assert mnist.source().sha256 == mnist.SHA256


def test_a_download_of_other_bytes_is_refused_and_leaves_nothing(keras_home, address, monkeypatch):
    monkeypatch.setattr(mnist, "SHA256", "0" * 64)
    with pytest.raises(SourceUnavailable, match="other bytes"):
        mnist.source()
    assert list((keras_home / "datasets").iterdir()) == []


def test_no_network_is_said_with_what_to_set(keras_home, monkeypatch):
    monkeypatch.setattr(mnist, "ADDRESS", "http://127.0.0.1:9/mnist.npz")  # no one listens on the discard port
    with pytest.raises(SourceUnavailable, match="could not be downloaded") as refused:
        mnist.source()
    assert "MNIST_NPZ" in refused.value.hint
