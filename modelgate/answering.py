"""Load a model and get its answers, in the same way for predict, which answers a file of rows, and for the service."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from modelgate import frameworks, usecase
from modelgate.config import Config
from modelgate.errors import StepError


class Model(NamedTuple):
    """
    A loaded model.

    classes: their names by index; empty for a regression. columns: those of a table, in the order in which the model
    learned them.
    """

    model_format: ModuleType
    loaded: Any
    classes: tuple[str, ...]
    columns: tuple[str, ...]

    def answer(self, x: Any) -> Any:
        """Return the answers. Classification: float32 (N, classes), probabilities; regression: float64 (N,). Raise if
        not finite.
        """
        answers = self.model_format.predict(self.loaded, self.order_columns(x))
        if self.classes:
            answers = self._fill_classes(answers)
        if not np.isfinite(answers).all():
            raise StepError("answer_not_finite", "the model answers NaN or infinity", "check the rows and the model")
        return answers

    def order_columns(self, x: Any) -> Any:
        """Return a table with its columns as the model learned them. Choosing columns takes a tenth of the time of a
        batch.
        """
        chosen = self.columns and hasattr(x, "columns") and tuple(x.columns) != self.columns
        return x[list(self.columns)] if chosen else x

    def _fill_classes(self, answers: Any) -> Any:
        """Add the columns of the last classes, if the model has never seen rows of them."""
        lacking = len(self.classes) - answers.shape[1]
        if lacking < 0:
            message = f"the model answers {answers.shape[1]} classes, but data.py names {len(self.classes)}"
            raise StepError("other_classes", message, "use the use case's code that the model was trained with")
        return np.pad(answers, ((0, 0), (0, lacking))) if lacking else answers


def load(settings: Config, path: Path, data: ModuleType) -> Model:
    """Load a model's file. Its format must have been started. data: the use case's `data.py`."""
    model_format = frameworks.load_format(settings.framework)
    loaded = model_format.load(path, usecase.read_trusted(settings.name))
    classes = () if settings.task.endswith("regression") else tuple(str(name) for name in data.CLASSES)
    columns = tuple(str(name) for name in getattr(loaded, "feature_names_in_", ()))
    return Model(model_format, loaded, classes, columns)
