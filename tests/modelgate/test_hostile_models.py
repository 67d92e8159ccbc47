"""
Files that are not models, as anyone with a key may log them: each is refused by name, quickly, and runs no code.

    pytest tests/modelgate/test_hostile_models.py
"""

from __future__ import annotations

import io
import json
import os
import pickle
import time
import zipfile

import numpy as np
import pytest

from modelgate import usecase
from modelgate.errors import StepError
from modelgate.frameworks import keras_format, sklearn_format

SOON_S = 10


def members(path):
    with zipfile.ZipFile(path) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def zipped(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, data in content.items():
            packed.writestr(name, data)


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


# --- scikit-learn ----------------------------------------------------------------------------------------------------


@pytest.fixture
def fitted(tmp_path):
    from sklearn.linear_model import LogisticRegression

    path = tmp_path / "model.skops"
    sklearn_format.save(LogisticRegression().fit(np.arange(8.0).reshape(-1, 1), np.arange(8) % 2), path)
    return path


def self_trusting(path):
    """A partial of os.system, with the list of trusted types that another registry would read from the file."""
    node = {
        "__class__": "system",
        "__module__": "posix",
        "__loader__": "FunctionNode",
        "content": "system",
        "__id__": 1,
    }
    text = json.dumps(
        {"__loader__": "JsonNode", "__class__": "str", "__module__": "builtins", "content": '"touch ran"'}
    )
    ran = json.loads(text)
    empty = {"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": {}, "key_types": {
        "__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": []}}  # fmt: skip
    args = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": [ran]}
    content = {"func": node, "args": args, "kwds": empty, "namespace": empty}
    schema = {"__class__": "partial", "__module__": "functools", "__loader__": "PartialNode", "content": content}
    schema |= {"protocol": 2, "_skops_version": "0.16.0", "trusted": ["posix.system", "functools.partial"]}
    zipped(path, {"schema.json": json.dumps(schema), "trusted.json": json.dumps(["posix.system"])})


def renamed_pickle(path):
    path.write_bytes(pickle.dumps(Runs(path.parent / "ran")))


def pickle_inside(path):
    """An array that claims to hold Python objects."""
    content = members(path)
    packed = io.BytesIO()
    np.save(packed, np.array([Runs(path.parent / "ran")], dtype=object), allow_pickle=True)
    array = next(name for name in content if name.endswith(".npy"))
    zipped(path, content | {array: packed.getvalue()})


def zip_slip(path):
    zipped(path, members(path) | {"../ran": b"x"})


def zip_bomb(path):
    zipped(path, members(path) | {"99999.bin": bytes(200_000_000)}, zipfile.ZIP_DEFLATED)


def long_array(path):
    """An array of eight terabytes, by its header."""
    content = members(path)
    packed = io.BytesIO()
    np.save(packed, np.zeros(8))
    array = next(name for name in content if name.endswith(".npy"))
    zipped(
        path,
        content | {array: packed.getvalue().replace(b"(8,), ", b"(1 << 40,), ".replace(b"1 << 40", b"1099511627776"))},
    )


def deep(path):
    """Lists in lists in lists, deeper than Python goes."""
    lists = "[" * 100_000 + "]" * 100_000
    zipped(path, members(path) | {"schema.json" if path.suffix == ".skops" else "config.json": lists})


def truncated(path):
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    "spoil", [self_trusting, renamed_pickle, pickle_inside, zip_slip, zip_bomb, long_array, deep, truncated]
)
def test_a_hostile_skops_file_is_refused(fitted, spoil, monkeypatch):
    monkeypatch.chdir(fitted.parent)
    assert_refused(sklearn_format, fitted, spoil)


def test_what_is_not_trusted_is_named(tmp_path):
    from sklearn.ensemble import RandomForestClassifier

    path = tmp_path / "model.skops"
    forest = RandomForestClassifier(n_estimators=2).fit(np.arange(8.0).reshape(-1, 1), np.arange(8) % 2)
    sklearn_format.save(forest, path)
    with pytest.raises(StepError, match=r"sklearn\.tree\._tree\.Tree") as refused:
        sklearn_format.load(path, ["numpy.dtype"])
    assert refused.value.name == "model_file_refused"
    line = refused.value.hint.removeprefix("if that is what you built, write: ")
    assert line == 'TRUSTED = ["numpy.dtype", "sklearn.tree._tree.Tree"]'
    assert sklearn_format.load(path, ["numpy.dtype", "sklearn.tree._tree.Tree"]).n_estimators == 2


def days(dates):
    return dates


def test_a_function_of_ones_own_gets_another_hint_than_a_type_of_scikit_learn(tmp_path):
    """Adding it to TRUSTED does not help."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    path = tmp_path / "model.skops"
    model = make_pipeline(FunctionTransformer(days), LogisticRegression())
    sklearn_format.save(model.fit(np.arange(8.0).reshape(-1, 1), np.arange(8) % 2), path)
    own = f"{__name__}.days"
    with pytest.raises(StepError) as refused:
        sklearn_format.load(path, ["numpy.dtype"])
    assert str(refused.value) == f"the model contains {own}, and only classes of scikit-learn can be trusted"
    assert "TRUSTED" not in refused.value.hint and "compute the column in data.py" in refused.value.hint
    with pytest.raises(StepError) as refused:
        sklearn_format.load(path, ["numpy.dtype", own])
    assert (refused.value.name, refused.value.hint[:22]) == ("type_not_trustworthy", "remove it from TRUSTED")


# --- Keras -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    keras_format.start(seed=0, threads=1)
    path = tmp_path_factory.mktemp("keras") / "model.keras"
    keras_format.save(usecase.load_part("glyphs", "model").build_model(10, (8, 8, 1), dropout=0.5), path)
    return path.read_bytes()


def with_weights(path, change):
    """The file with its HDF5 part changed in place."""
    import h5py

    content = members(path)
    packed = io.BytesIO(content["model.weights.h5"])
    with h5py.File(packed, "r+") as file:
        change(file)
    zipped(path, content | {"model.weights.h5": packed.getvalue()})


def external_link(path):
    import h5py

    (path.parent / "other.h5").write_bytes(members(path)["model.weights.h5"])

    def change(file):
        del file["layers"]
        file["layers"] = h5py.ExternalLink(str(path.parent / "other.h5"), "/layers")

    with_weights(path, change)


def external_values(path):
    """An array whose bytes are those of another file."""

    def change(file):
        kernel = file["layers/dense/vars/0"]
        shape, dtype = kernel.shape, kernel.dtype
        del file["layers/dense/vars/0"]
        file.create_dataset("layers/dense/vars/0", shape, dtype, external=[("/etc/passwd", 0, 100_000)])

    with_weights(path, change)


def billion_units(path):
    content = members(path)
    config = json.loads(content["config.json"])
    dense = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
    dense["config"]["units"] = 10**9
    zipped(path, content | {"config.json": json.dumps(config)})


def huge_values(path):
    """An array of a terabyte, none of which is in the file."""
    with_weights(path, lambda file: file.create_dataset("layers/huge", (2**38,), "f4", chunks=(2**20,)))


@pytest.mark.parametrize(
    "spoil",
    [renamed_pickle, zip_slip, zip_bomb, external_link, external_values, billion_units, huge_values, deep, truncated],
)
def test_a_hostile_keras_file_is_refused(network, tmp_path, spoil):
    path = tmp_path / "model.keras"
    path.write_bytes(network)
    keras_format.load(path)
    assert_refused(keras_format, path, spoil)


def assert_refused(model_format, path, spoil):
    spoil(path)
    began = time.monotonic()
    with pytest.raises(StepError) as refused:
        model_format.load(path, [])
    assert (refused.value.name, refused.value.exit_code) == ("model_file_refused", 1)
    assert time.monotonic() - began < SOON_S
    assert not (path.parent / "ran").exists() and not (path.parent.parent / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [
        "posix.system",
        "functools.partial",
        "numpy.memmap",
        "sklearn.os.system",
        "sklearn.nowhere.Tree",
        "sklearn.utils._testing.TempMemmap",
        "sklearn.datasets.load_iris",
        "sklearn.utils.resample",
        "",
    ],
)
def test_model_py_cannot_trust_more_than_classes_of_scikit_learn(fitted, name):
    """A pull request may change it, and what judges the model reads it."""
    with pytest.raises(StepError) as refused:
        sklearn_format.load(fitted, [name])
    assert (refused.value.name, refused.value.exit_code) == ("type_not_trustworthy", 2)
