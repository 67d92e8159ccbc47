"""
Use Keras so that the same inputs give the same numbers, write a `.keras` file so that the same model gives the same
bytes, and read it so that it cannot run code.

Keras writes the date, the time of zipping and memory addresses (`shared_object_id`) into the file. They are not part of
the model, and any of them would make every training a new version.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgate.errors import StepError
from modelgate.frameworks import MODEL_FILES, hold_collection
from modelgate.rows.dataset import Rows

if TYPE_CHECKING:
    import keras

MODEL_FILE = MODEL_FILES["keras"]
NAME = "TensorFlow"  # the packages that are slow to import
BATCH_ROWS = 256  # of a prediction
# oneDNN would use AVX-512 if available, and then the weights would differ between machines of one architecture.
ONEDNN_MAX_CPU_ISA = "AVX2"
MAX_MEMBERS = 10_000
_WEIGHTS, _CONFIG = "model.weights.h5", "config.json"
_NAMES = (_WEIGHTS, _CONFIG, "metadata.json")
_ASSET = re.compile(r"[A-Za-z0-9_.\-/]{1,200}")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip file can name


# How the lines begin that TensorFlow logs before it reads its own log level: a heading, and each note.
_NOTES = (b"WARNING: All log messages before absl::InitializeLog", b"I0000 ")
_FILTER = f"import os, sys\nfor line in sys.stdin.buffer: line.startswith({_NOTES!r}) or os.write(2, line)"


def prepare() -> None:
    """Import both, with the settings that they read only then. The first time takes seconds."""
    os.environ["ONEDNN_MAX_CPU_ISA"] = ONEDNN_MAX_CPU_ISA
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with _leave_out_notes(), hold_collection():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401


@contextmanager
def _leave_out_notes() -> Iterator[None]:
    """
    Hide what TensorFlow logs that needs no action, unless TF_CPP_MIN_LOG_LEVEL is set.

    Its libraries log their first notes before they read that level, so these are left out of standard error. Another
    process does that, because it outlives an import that crashes, and still shows why.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # what ends the process is shown, and real errors are raised
    shown = os.dup(2)
    with subprocess.Popen([sys.executable, "-I", "-c", _FILTER], stdin=subprocess.PIPE, process_group=0) as other:
        os.dup2(other.stdin.fileno(), 2)  # type: ignore[union-attr]
        try:
            yield
        finally:
            os.dup2(shown, 2)
            os.close(shown)


def start(seed: int, threads: int) -> None:
    """
    Import both, with this seed and this number of threads.

    TensorFlow reads its settings once, so a second call in the same process cannot change `threads`.
    """
    prepare()
    import keras
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.clear_session()  # a counter names the layers, and the names are part of the model's file
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    training: Rows,
    model_part: ModuleType,
    hyperparameters: Mapping[str, Any],
    task: str,
    progress: Callable[[str, Mapping[str, float]], None],
) -> keras.Model:
    """
    Return the trained model. If model.py has `fit`, that trains it, with only the training rows; otherwise
    `build_model` makes it and this trains it. hyperparameters: those of `[train]`, all passed as keywords.

    If `build_model` has compiled the model, it is trained as it is, and must accept labels as one-hot rows. progress:
    gets what is about to begin, and the metrics of each epoch.
    """
    import keras

    if own_fit := getattr(model_part, "fit", None):
        progress(f"{len(training.y)} rows to learn from, by the fit of model.py", {})
        trained: keras.Model = own_fit(training, **hyperparameters)
        return trained
    classes = int(training.y.max()) + 1
    model: keras.Model = model_part.build_model(classes, training.x.shape[1:], **hyperparameters)
    if not model.compiled:
        model.compile(loss="categorical_crossentropy", optimizer=hyperparameters["optimizer"], metrics=["accuracy"])
    x_t, x_v, y_t, y_v = split(training.x, training.y, hyperparameters["validation_split"], hyperparameters["seed"])
    progress(f"{model.count_params():,} parameters; {len(x_t)} rows to learn from, {len(x_v)} held out", {})
    one_hot = keras.utils.to_categorical
    epochs = hyperparameters["epochs"]
    model.fit(
        x_t,
        one_hot(y_t, classes),
        batch_size=hyperparameters["batch_size"],
        epochs=epochs,
        validation_data=(x_v, one_hot(y_v, classes)),
        callbacks=[_report_epochs(model, epochs, progress)],
        verbose=0,
    )
    return model


def _report_epochs(
    model: keras.Model, epochs: int, progress: Callable[[str, Mapping[str, float]], None]
) -> keras.callbacks.Callback:
    """Return the callback that gives the metrics of each epoch to `progress`."""
    import keras

    def report(epoch: int, logs: Mapping[str, float]) -> None:
        rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        values = {"epoch": epoch, "learning_rate": rate, **logs}
        progress(f"epoch {epoch + 1:02d}/{epochs:02d}", {f"epoch/{name}": value for name, value in values.items()})

    return keras.callbacks.LambdaCallback(on_epoch_end=report)


def split(x: Any, y: Any, validation_split: float, seed: int) -> tuple[Any, Any, Any, Any]:
    """Split the rows into those to learn from and those held out, with the same share of each class: x_t, x_v, y_t,
    y_v.
    """
    from sklearn.model_selection import train_test_split

    x_t, x_v, y_t, y_v = train_test_split(x, y, test_size=validation_split, random_state=seed, stratify=y)
    return x_t, x_v, y_t, y_v


def predict(model: keras.Model, rows: Any) -> Any:
    """
    Return the model's answers: float32 (N, classes), probabilities.

    `model.predict` gives the same numbers, but first builds a pipeline of tf.data, which takes longer than small models
    need to answer.
    """
    rows = np.asarray(rows)
    if model.predict_function is None:
        _compile_prediction(model, rows)
    batches = range(0, len(rows), BATCH_ROWS)
    answers = [model.predict_on_batch(rows[first : first + BATCH_ROWS]) for first in batches]
    return np.concatenate(answers).astype(np.float32)


def _compile_prediction(model: keras.Model, rows: Any) -> None:
    """Compile once for batches of every size: TensorFlow would compile again for the last one, which is smaller."""
    import tensorflow as tf

    model.make_predict_function()
    model.predict_function.get_concrete_function([(tf.TensorSpec((None, *rows.shape[1:]), rows.dtype),)])


ABOUT = ("keras", "tensorflow", "machine", "onednn_max_cpu_isa")  # the keys of `about`


def describe_versions() -> dict[str, str]:
    """Return what the weights depend on in addition to their inputs."""
    import keras
    import tensorflow as tf

    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    return {**versions, "machine": platform.machine(), "onednn_max_cpu_isa": ONEDNN_MAX_CPU_ISA}


def save(model: keras.Model, path: Path) -> None:
    """Write the model in canonical form: the same weights and layers give the same bytes."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        raw = Path(folder) / "model.keras"
        model.save(raw)
        with zipfile.ZipFile(raw) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
            for name in sorted(source.namelist()):
                target.writestr(zipfile.ZipInfo(name, _EPOCH), _canonicalize(name, source.read(name)))


def load(path: Path, _trusted: Sequence[str] = ()) -> keras.Model:
    """
    Read a model, uncompiled. If it asks to run its own code, raise `model_file_refused`.

    _trusted: only for formats that name types. A `.keras` file may contain only types of Keras itself.
    """
    import keras

    try:
        with zipfile.ZipFile(path) as packed:
            _require_bounded(packed, path.stat().st_size)
            weights = packed.read(_WEIGHTS)
            _require_plain_weights(weights)
            _require_weights_for(packed.read(_CONFIG), len(weights))
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever Keras and HDF5 raise for a manipulated file
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise StepError(
            "model_file_refused", f"{path.name} cannot be loaded safely: {first[:300]}", "train the model again"
        ) from error


def _require_bounded(packed: zipfile.ZipFile, size: int) -> None:
    """Refuse a file that can grow when it is read: ours are not compressed, and have Keras's own names."""
    members = packed.infolist()
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > size:
        raise ValueError(f"it has more than {MAX_MEMBERS} files, or unpacks to more bytes than it has")
    for member in members:
        folder, _, rest = member.filename.partition("/")
        if member.filename not in _NAMES and (folder != "assets" or not _ASSET.fullmatch(rest) or ".." in rest):
            raise ValueError(f"{member.filename[:100]!r} is not a name that Keras uses")
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{member.filename[:100]!r} is compressed")


def _require_plain_weights(content: bytes) -> None:
    """Refuse an HDF5 file that reads other files, or that contains less than its arrays claim."""
    import h5py

    def require(group: h5py.Group) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{_WEIGHTS} links to another file: {name[:100]!r}")
            item = group[name]
            if isinstance(item, h5py.Group):
                require(item)
            elif item.external or item.is_virtual or item.nbytes > item.id.get_storage_size():
                raise ValueError(f"{_WEIGHTS} has an array whose values are in another file: {item.name[:100]!r}")

    with h5py.File(io.BytesIO(content)) as file:
        require(file)


def _require_weights_for(config: bytes, size: int) -> None:
    """Refuse a config that describes more weights than the file has: Keras would first allocate memory for all of
    them.
    """
    import keras

    with keras.StatelessScope(initialize_variables=False):  # here, variables have a shape but no memory
        # An optimizer could not be made here; load_model leaves it out, too.
        model = keras.saving.deserialize_keras_object(_strip_compilation(json.loads(config)), safe_mode=True)
    if (wanted := model.count_params()) > size:  # one byte each, like the smallest type
        raise ValueError(f"its layers have {wanted:,} weights, but the file has only {size:,} bytes of them")


def _strip_compilation(config: Any) -> Any:
    """Return the config of a model, and of the models in it, without their compile settings."""
    if isinstance(config, dict):
        return {key: _strip_compilation(value) for key, value in config.items() if key != "compile_config"}
    return [_strip_compilation(value) for value in config] if isinstance(config, list) else config


def _canonicalize(name: str, content: bytes) -> bytes:
    if name == "metadata.json":
        return _dump(json.loads(content) | {"date_saved": "1980-01-01@00:00:00"})
    if name == "config.json":
        return _dump(_renumber(json.loads(content), {}))
    return content


def _dump(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _renumber(value: Any, seen: dict[int, int]) -> Any:
    """Return the same tree with `shared_object_id` numbered from 1 in order of first appearance."""
    if isinstance(value, dict):
        return {
            key: seen.setdefault(item, len(seen) + 1)
            if key == "shared_object_id" and item is not None
            else _renumber(item, seen)
            for key, item in sorted(value.items())
        }
    if isinstance(value, list):
        return [_renumber(item, seen) for item in value]
    return value
