"""
Where MNIST comes from, and what happens when it is not available.

    pytest usecases/mnist
"""

from __future__ import annotations

import hashlib
import http.server
import threading

import numpy as np
import pytest

from modelgate.rows.dataset import Source, SourceUnavailable
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
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(npz.read_bytes())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        monkeypatch.setattr(mnist, "ADDRESS", f"http://127.0.0.1:{listening.server_port}/mnist.npz")
        monkeypatch.setattr(mnist, "SHA256", hashlib.sha256(npz.read_bytes()).hexdigest())
        yield asked
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
    monkeypatch.setattr(mnist, "ADDRESS", "http://127.0.0.1:9/mnist.npz")  # nobody listens on the discard port
    with pytest.raises(SourceUnavailable, match="could not be downloaded") as refused:
        mnist.source()
    assert "MNIST_NPZ" in refused.value.hint
