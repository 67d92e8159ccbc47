"""
Use scikit-learn: write a `.skops` file so that the same estimator gives the same bytes, and read it so that it runs no
code.

skops never writes the same bytes twice: it names objects by their memory addresses, zips with the time, and keeps the
padding between the fields of a tree's nodes, which is uninitialized memory. None of this is part of the model.
"""

from __future__ import annotations

import io
import json
import os
import platform
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from modelgate.errors import WRONG_USE, StepError
from modelgate.frameworks import MODEL_FILES, hold_collection
from modelgate.rows.dataset import Rows
from modelgate.tracking import arrays

MODEL_FILE = MODEL_FILES["sklearn"]
NAME = "scikit-learn"  # the packages that are slow to import
MAX_MEMBERS, MAX_BYTES = 100_000, 2 * 2**30
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip file can name
_SCHEMA = "schema.json"
# What TRUSTED may name in addition to scikit-learn's classes, and the parts of scikit-learn that it may not name.
_OTHERS = ("numpy.dtype", "scipy.sparse._csr.csr_array", "scipy.sparse._csr.csr_matrix", "scipy.sparse._csc.csc_matrix")
_NEVER = ("_testing", "datasets", "externals", "tests")
# What to do in place of a function or a class of one's own, which could run anything when the file is read.
_WITHOUT_OWN = (
    "use only parts of scikit-learn, such as StandardScaler for a date column, or compute the column in data.py; "
    "docs/how-to/adapting-tables.md shows both"
)
_SHOWN = 10  # types in a message
# Attributes with a memory address. Without it, scikit-learn checks its stop words again.
_ADDRESSES = ("_stop_words_id",)


def start(seed: int, threads: int) -> None:
    """
    Import it, with this seed and this number of threads.

    OpenMP and the linear algebra libraries read their settings once, so a second call in a process cannot change
    `threads`.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    with hold_collection():
        import sklearn  # noqa: F401

    random.seed(seed)
    np.random.seed(seed)


def fit(
    training: Rows,
    model_part: ModuleType,
    hyperparameters: Mapping[str, Any],
    task: str,
    progress: Callable[[str, Mapping[str, float]], None],
) -> Any:
    """
    Return the fitted estimator. If model.py has `fit`, that fits it, with only the training rows; otherwise
    `build_model` makes it and this fits it. hyperparameters: those of `[train]`.
    """
    if own_fit := getattr(model_part, "fit", None):
        progress(f"{len(training.y)} rows to learn from, by the fit of model.py", {})
        model = own_fit(training, **hyperparameters)
    else:
        model = model_part.build_model(**hyperparameters)
        progress(f"{type(model).__name__}: {len(training.y)} rows to learn from", {})
        model = model.fit(training.x, training.y)
    _require_task(model, task)
    _require_columns(model, training.x)
    progress("fitted", {"train/score": float(model.score(training.x, training.y))})
    return model


def _require_task(model: Any, task: str) -> None:
    """Refuse an estimator that cannot give the answers that the task needs."""
    from sklearn.base import is_regressor

    name = type(model).__name__
    if task == "tabular-regression":
        if not is_regressor(model):
            raise StepError("model_of_another_task", f"{name} is not a regressor", f"{task} needs one", WRONG_USE)
    elif not hasattr(model, "predict_proba"):
        hint = "use another estimator, or wrap it in sklearn.calibration.CalibratedClassifierCV"
        message = f"{name} has no predict_proba, but {task} needs the probability of each class"
        raise StepError("model_of_another_task", message, hint, WRONG_USE)


def _require_columns(model: Any, x: Any) -> None:
    """Refuse a model of a table that did not learn all of its columns by their names, as only a `fit` of model.py can
    do: later, no one could tell which rows the model can answer.
    """
    if not hasattr(x, "columns") or not hasattr(model, "n_features_in_"):
        return
    learned = [str(name) for name in getattr(model, "feature_names_in_", ())]
    if learned != list(x.columns):
        name = type(model).__name__
        lacking = [column for column in x.columns if column not in learned]
        message = (
            f"{name} was not fitted with {_format_names(lacking)}, which the rows have" if learned and lacking else ""
        )
        raise StepError(
            "model_of_other_columns",
            message or f"{name} was not fitted with the columns of the rows and their names",
            "fit it with training.x as it is; a ColumnTransformer in the model can leave columns out",
            WRONG_USE,
        )


def predict(model: Any, rows: Any) -> Any:
    """Return the model's answers: for a classifier float32 (N, classes), probabilities; for a regressor float64
    (N,).
    """
    if not hasattr(model, "predict_proba"):
        return np.asarray(model.predict(rows), dtype=np.float64)
    known = np.asarray(model.classes_)
    answers = np.zeros((len(rows), int(known.max()) + 1), dtype=np.float32)
    answers[:, known] = model.predict_proba(rows)
    return answers


ABOUT = ("scikit-learn", "skops", "numpy", "machine")  # the keys of `about`


def describe_versions() -> dict[str, str]:
    """Return what the model depends on in addition to its inputs."""
    import sklearn
    import skops

    versions = {"scikit-learn": sklearn.__version__, "skops": skops.__version__, "numpy": np.__version__}
    return {**versions, "machine": platform.machine()}


# --- the file --------------------------------------------------------------------------------------------------------


def save(model: Any, path: Path) -> None:
    """Write the model in canonical form: the same estimator gives the same bytes."""
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as raw:
        schema = json.loads(raw.read(_SCHEMA))
        names: dict[str, str] = {}
        canonical = _canonicalize(schema, {}, names)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
            target.writestr(zipfile.ZipInfo(_SCHEMA, _EPOCH), json.dumps(canonical))
            for before, after in names.items():
                target.writestr(zipfile.ZipInfo(after, _EPOCH), _canonicalize_content(before, raw.read(before)))


def _canonicalize(node: Any, ids: dict[int, int], names: dict[str, str]) -> Any:
    """Return the same tree with ids and files numbered in order of first appearance. names: gets the new name of each
    file.
    """
    if isinstance(node, list):
        return [_canonicalize(item, ids, names) for item in node]
    if not isinstance(node, dict):
        return node
    fields: dict[str, Any] = {}
    for key, value in node.items():
        if key == "__id__" and isinstance(value, int):
            # A primitive needs no id: whether two equal ones are the same object in memory is chance.
            if node.get("__loader__") != "JsonNode":
                fields[key] = ids.setdefault(value, len(ids) + 1)
        elif key == "file" and isinstance(value, str) and "__loader__" in node:
            fields[key] = names.setdefault(value, f"{len(names):05d}{Path(value).suffix}")
        elif key in _ADDRESSES and isinstance(value, dict):
            fields[key] = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "0"}
        else:
            fields[key] = _canonicalize(value, ids, names)
    if node.get("__loader__") == "SetNode":
        fields["content"] = sorted(fields["content"], key=json.dumps)
    return fields


def _canonicalize_content(name: str, content: bytes) -> bytes:
    """Return a member's bytes; for an array of records, with the padding between the fields cleared."""
    if not name.endswith(".npy"):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, array.dtype)
    for field in array.dtype.names:
        clean[field] = array[field]
    packed = io.BytesIO()
    np.save(packed, clean, allow_pickle=False)
    return packed.getvalue()


def load(path: Path, trusted: Sequence[str] = ()) -> Any:
    """
    Read a model. If the file is not in our format, or contains types other than scikit-learn's own and the trusted
    ones, raise `model_file_refused`.

    trusted: the use case's TRUSTED, names of types such as `sklearn.tree._tree.Tree`. What a file says about itself is
    not a reason to trust it. And model.py can make only classes of scikit-learn trusted: a function or a class of
    another package could do anything.
    """
    import skops.io

    _require_trustworthy(trusted)
    try:
        _require_bounded(path)
        _require_trusted(list(list_untrusted(path)), trusted)
        model = skops.io.load(path, trusted=list(trusted))
    except StepError:
        raise
    except Exception as error:  # whatever skops and NumPy raise for a manipulated file
        first = next(iter(str(error).splitlines()), "")
        raise StepError(
            "model_file_refused",
            f"{path.name} cannot be loaded safely: {type(error).__name__}: {first[:300]}",
            "train the model again",
        ) from error
    if not hasattr(model, "predict"):
        raise StepError(
            "model_file_refused", f"{path.name} contains a {type(model).__name__}, not a model", "train again"
        )
    return model


def _require_trustworthy(trusted: Sequence[str]) -> None:
    """Refuse to trust anything but classes of scikit-learn and the few of NumPy and SciPy that its models contain."""
    if foreign := [name for name in trusted if not _is_trustworthy(name)]:
        message = f"TRUSTED names {foreign[0][:200]}, which is not a class of scikit-learn"
        raise StepError("type_not_trustworthy", message, f"remove it from TRUSTED: {_WITHOUT_OWN}", WRONG_USE)


def _is_trustworthy(name: str) -> bool:
    if name in _OTHERS:
        return True
    module, _, kind = name.rpartition(".")
    ours = module.startswith("sklearn.") and not any(f".{part}." in f"{module}." for part in _NEVER)
    return isinstance(getattr(import_module(module), kind, None) if ours and find_spec(module) else None, type)


def _require_trusted(types: Sequence[str], trusted: Sequence[str]) -> None:
    """Refuse types that TRUSTED does not name. types: those in the file that skops does not trust by itself."""
    unknown = [name for name in types if name not in trusted]
    if foreign := [name for name in unknown if not _is_trustworthy(name)]:
        message = f"the model contains {_format_names(foreign)}, and only classes of scikit-learn can be trusted"
        raise StepError("model_file_refused", message, _WITHOUT_OWN)
    if unknown:
        names, pronoun = _format_names(unknown), _choose_pronoun(unknown)
        message = f"the model contains {names}, and TRUSTED of model.py does not name {pronoun}"
        complete = json.dumps([*trusted, *unknown])
        raise StepError("model_file_refused", message, f"if that is what you built, write: TRUSTED = {complete}")


def _format_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more types" if len(names) > _SHOWN else ""
    return " ".join(", ".join(names[:_SHOWN]).split())[:600] + more


def _choose_pronoun(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _require_bounded(path: Path) -> None:
    """Refuse a file that can grow when it is read: ours are not compressed, and arrays have their stated length."""
    with zipfile.ZipFile(path) as packed:
        members = packed.infolist()
        if len(members) > MAX_MEMBERS or path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_MEMBERS} files or {MAX_BYTES} bytes")
        if len({member.filename for member in members}) < len(members):
            raise ValueError("it has two files with the same name")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("it unpacks to more bytes than it has")
        for member in members:
            if "/" in member.filename or "\\" in member.filename or member.filename.startswith("."):
                raise ValueError(f"{member.filename[:100]!r} is not a name that save uses")
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename[:100]!r} is compressed")
            if member.filename.endswith(".npy"):
                arrays.require_true_header(packed, member)
            if member.filename.endswith(".npz"):
                arrays.load(packed.read(member), MAX_BYTES)


def list_untrusted(path: Path) -> Iterator[str]:
    """Return the types in a file that `TRUSTED` of its model.py must name, if they are safe."""
    import skops.io

    yield from skops.io.get_untrusted_types(file=path)
