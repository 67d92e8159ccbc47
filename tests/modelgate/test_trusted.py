"""
TRUSTED is read from a use case's model.py without running the file.

    pytest tests/modelgate/test_trusted.py
"""

from __future__ import annotations

import pytest

from modelgate import config, new, usecase
from modelgate.errors import StepError


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "FOLDER", tmp_path)
    return new.write("mine", "tabular-classification", "sklearn") / "model.py"


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ('TRUSTED = ["numpy.dtype"]', ("numpy.dtype",)),
        ("TRUSTED: list[str] = []", ()),
        ('TRUSTED = ()\nTRUSTED = ("a.B",)', ("a.B",)),
        ('raise SystemExit("it was run")\nTRUSTED = ["a.B"]', ("a.B",)),
    ],
)
def test_the_types_are_those_that_are_written_there(model, text, types):
    model.write_text(text)
    assert usecase.read_trusted("mine") == types


@pytest.mark.parametrize("text", ["", 'TRUSTED = "numpy.dtype"', "TRUSTED = [7]", "TRUSTED = list(map(str, ()))"])
def test_what_is_no_list_of_names_is_wrong_use(model, text):
    model.write_text(text)
    with pytest.raises(StepError, match=r"usecases/mine/model\.py: TRUSTED is not a literal list") as refused:
        usecase.read_trusted("mine")
    assert refused.value.exit_code == 2


def test_a_keras_file_names_no_types():
    assert usecase.read_trusted("glyphs") == ()
