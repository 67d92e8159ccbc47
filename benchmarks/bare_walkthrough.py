"""
Run the walkthrough without W&B: read, train, evaluate, print. The pipeline is compared with it.

    python -m benchmarks.bare_walkthrough --use-case mnist

Rows, network and hyperparameters are the use case's own (data.py, model.py, config.toml), and seed, split and threads
are train's, so that the model is the one that the loop makes: the accuracy is the same, digit for digit.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from modelgate import config, usecase
from tests import own


def start_tensorflow(seed: int) -> None:
    """Set one thread and deterministic operations; otherwise the same inputs give other weights."""
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def walk(use_case: str, **changes: Any) -> tuple[float, float]:
    """Train as `config.toml` and `changes` say; return loss (nats per row) and accuracy (fraction) on the eval rows."""
    settings = config.load(use_case)
    train: Mapping[str, Any] = {**settings.train, **changes}

    data = usecase.load_part(use_case, "data").load(settings.build.rows, settings.build.eval_rows)
    start_tensorflow(train["seed"])
    import keras
    from sklearn.model_selection import train_test_split

    x_t, x_v, y_t, y_v = train_test_split(
        data.x_train,
        data.y_train,
        test_size=train["validation_split"],
        random_state=train["seed"],
        stratify=data.y_train,
    )
    classes = int(data.y_train.max()) + 1
    y_t, y_v, y_eval = (keras.utils.to_categorical(labels, classes) for labels in (y_t, y_v, data.y_eval))

    model = usecase.load_part(use_case, "model").build_model(classes, data.x_train.shape[1:], **train)
    model.compile(loss="categorical_crossentropy", optimizer=train["optimizer"], metrics=["accuracy"])
    model.fit(x_t, y_t, batch_size=train["batch_size"], epochs=train["epochs"], validation_data=(x_v, y_v), verbose=0)
    loss, accuracy = model.evaluate(data.x_eval, y_eval, verbose=0)
    return loss, accuracy


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare_walkthrough", description=__doc__)
    parser.add_argument("--use-case", default="mnist", help="(default: %(default)s)")
    use_case = parser.parse_args().use_case
    if use_case == own.USE_CASE:
        own.install()
    loss, accuracy = walk(use_case)
    print(f"loss {loss:.6f}")
    print(f"accuracy {accuracy:.6f}")


if __name__ == "__main__":
    main()
