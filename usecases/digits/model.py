"""Define a small convolutional network for images of 8 by 8 pixels, with one pooling layer because the images are so
small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def build_model(classes: int, shape: tuple[int, ...], dropout: float, **_: object) -> keras.Model:
    """
    Return an untrained model: images float32 (N, *shape) in [0, 1] to probabilities float32 (N, classes).

    dropout: a fraction, from `[train]` in config.toml. The other hyperparameters are for the training.
    """
    import keras
    from keras import layers

    return keras.Sequential(
        [
            layers.Input(shape=shape),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(dropout),
            layers.Dense(classes, activation="softmax"),
        ]
    )
