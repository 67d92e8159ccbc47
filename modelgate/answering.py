"""
Load a model and get its answers, in the same way for evaluate, which judges them, for predict, which answers a file of
rows, and for the service.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from modelgate import frameworks, usecase
from modelgate.commit import is_dirty
from modelgate.config import Config
from modelgate.errors import StepError
from modelgate.text import name_columns, shorten_name, to_line


class Model(NamedTuple):
    """
    A loaded model.

    classes: their names by index; empty for a regression. columns: those of a table, in the order in which the model
    learned them. name: how messages name it, such as `letters-dev:v3`.
    """

    model_format: ModuleType
    loaded: Any
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    name: str = "the model"

    def answer(self, x: Any) -> Any:
        """Return the answers. Classification: float32 (N, classes), probabilities; regression: float64 (N,). Raise if
        not finite.
        """
        answers = self.ask(x)
        if self.classes:
            answers = self._fill_classes(answers)
        if not np.isfinite(answers).all():
            raise StepError("answer_not_finite", "the model answers NaN or infinity", "check the rows and the model")
        return answers

    def ask(self, x: Any) -> Any:
        """Return what the model answers, as it is. Of a table, it gets only the columns that it learned."""
        try:
            return self.model_format.predict(self.loaded, self.order_columns(x))
        except Exception as error:  # whatever a framework raises for rows that the model cannot answer
            if lacking := [name for name in self.columns if name not in x.columns]:
                message = f"{self.name} was trained with {name_columns(lacking)}, which the rows do not have"
                hint = "add the missing data to the rows; docs/how-to/adapting-tables.md says how to remove a column"
                raise StepError("schema_changed", message, hint) from error
            first = to_line(next(iter(str(error).splitlines()), ""), 300)
            message = f"{self.name} cannot answer these rows: {type(error).__name__}: {first}"
            raise StepError("answer_failed", message, "check whether data.py or the rows have changed") from error

    def require_schema(self, data: ModuleType, commit: str = "") -> None:
        """
        Refuse a model of a table that was trained with other columns than SCHEMA of data.py declares now.

        commit: of the code that evaluated it, if it is known.
        """
        if not self.columns:
            return
        declared = data.SCHEMA.columns
        lost = [name for name in self.columns if name not in declared]
        added = [name for name, column in declared.items() if column.required and name not in self.columns]
        problems = []
        if lost:
            problems = [f"{self.name} was trained with {name_columns(lost)}, which SCHEMA of data.py does not declare"]
        if added:
            problems += [f"SCHEMA of data.py declares {name_columns(added)}, which {self.name} was not trained with"]
        if problems:
            changes = ", with changes that were not committed" if is_dirty(commit) else ""
            known = f" ({commit[:12]}{changes})" if commit else ""
            hint = f"check out the commit of that version{known}, or promote a version trained with today's columns"
            raise StepError("schema_changed", "; ".join(problems), hint)

    def order_columns(self, x: Any) -> Any:
        """Return a table with its columns as the model learned them. Choosing columns takes a tenth of the time of a
        batch.
        """
        chosen = self.columns and hasattr(x, "columns") and tuple(x.columns) != self.columns
        return x[[name for name in self.columns if name in x.columns]] if chosen else x

    def _fill_classes(self, answers: Any) -> Any:
        """Add the columns of the last classes, if the model has never seen rows of them."""
        lacking = len(self.classes) - answers.shape[1]
        if lacking < 0:
            message = f"the model answers {answers.shape[1]} classes, but data.py names {len(self.classes)}"
            raise StepError("other_classes", message, "use the use case's code that the model was trained with")
        return np.pad(answers, ((0, 0), (0, lacking))) if lacking else answers


def load(settings: Config, path: Path, data: ModuleType, version: str) -> Model:
    """Load the model of a version from its file. Its format must have been started. data: the use case's `data.py`."""
    model_format = frameworks.load_format(settings.framework)
    loaded = model_format.load(path, usecase.read_trusted(settings.name))
    classes = () if settings.task.endswith("regression") else tuple(str(name) for name in data.CLASSES)
    columns = tuple(str(name) for name in getattr(loaded, "feature_names_in_", ()))
    return Model(model_format, loaded, classes, columns, shorten_name(version))
