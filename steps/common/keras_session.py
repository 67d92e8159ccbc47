"""Import TensorFlow and Keras so that the same inputs give the same numbers."""

from __future__ import annotations

import os

# oneDNN would pick AVX-512 where it finds it, and the weights would differ between machines of one architecture.
ONEDNN_MAX_CPU_ISA = "AVX2"


def start(seed: int, threads: int) -> None:
    """
    Import both, with this seed and this many threads; seconds the first time.

    TensorFlow reads its settings once, so a second call in the same process cannot change `threads`.
    """
    os.environ["ONEDNN_MAX_CPU_ISA"] = ONEDNN_MAX_CPU_ISA
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # C++ notes that ask for nothing; real errors are raised
    import keras
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.clear_session()  # layers are named by a counter, and the names are part of the model's file
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
