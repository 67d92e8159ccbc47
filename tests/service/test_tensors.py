"""
Requests as tensors, without a service: what is received equals what was sent, for every kind of row.

    pytest tests/service/test_tensors.py
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgate import row_files
from modelgate.incoming import Refused
from serving import tensors
from serving.errors import Refusal
from serving.interface import Interface

IMAGES = Interface("image-classification", SimpleNamespace(CLASSES=(0, 1), SHAPE=(2, 2, 1)))
TEXTS = Interface("text-classification", SimpleNamespace(CLASSES=("a", "b")))
SCHEMA = pa.DataFrameSchema(
    {
        "mass": pa.Column(float, nullable=True),
        "year": pa.Column(int, pa.Check.in_range(2000, 2010)),
        "island": pa.Column(str, pa.Check.isin(["Dream", "Biscoe"]), nullable=True),
        "carrier": pa.Column(str, pa.Check.str_length(2, 2)),
        "tagged": pa.Column(bool),
    }
)
TABLE = Interface("tabular-regression", SimpleNamespace(SCHEMA=SCHEMA))
UTC = pd.DatetimeTZDtype("us", "UTC")
TIMES = pa.DataFrameSchema(
    {
        "signed_up": pa.Column("datetime64[ns]", pa.Check.ge(pd.Timestamp("2020-01-01")), nullable=True),
        "seen": pa.Column(UTC),
        "due": pa.Column("datetime64[ns]", pa.Check.isin([pd.Timestamp("2026-03-04"), pd.Timestamp("2026-04-04")])),
    }
)
TIMED = Interface("tabular-regression", SimpleNamespace(SCHEMA=TIMES))


def sent(*given_tensors, binary):
    """Parse a request with these tensors."""
    described, raw = [], b""
    for tensor in given_tensors:
        if binary:
            description, content = tensor.as_binary()
            raw += content
        else:
            description = tensor.as_json()
        described.append(description)
    text = json.dumps({"inputs": described}).encode()
    return tensors.parse(text + raw, str(len(text)) if binary else None)


@pytest.mark.parametrize("binary", [True, False])
def test_rows_of_each_kind_arrive_as_they_were_sent(binary):
    images = np.random.default_rng(0).random((3, 2, 2, 1), dtype=np.float32)
    request = sent(tensors.Tensor("x", "FP32", images), binary=binary)
    np.testing.assert_array_equal(IMAGES.read_rows(request.inputs), images)

    texts = np.array(["one", "zwölf"], dtype=object)
    assert TEXTS.read_rows(sent(tensors.Tensor("text", "BYTES", texts), binary=binary).inputs) == ["one", "zwölf"]

    request = sent(
        tensors.Tensor("mass", "FP32", np.array([1.5, 2.5], dtype=np.float32)),
        tensors.Tensor("year", "INT32", np.array([[2001], [2002]], dtype=np.int32)),  # a column, as clients may
        tensors.Tensor("island", "BYTES", np.array(["Dream", ""], dtype=object)),
        tensors.Tensor("carrier", "BYTES", np.array(["AA", ""], dtype=object)),
        tensors.Tensor("tagged", "BOOL", np.array([True, False])),
        binary=binary,
    )
    frame = TABLE.read_rows(request.inputs)
    assert [str(dtype) for dtype in frame.dtypes] == ["float64", "int64", "str", "str", "bool"]
    assert frame["mass"].tolist() == [1.5, 2.5] and frame["tagged"].tolist() == [True, False]
    assert pd.isna(frame["island"][1]) and frame["carrier"][1] == ""  # a carrier cannot be missing, so it is empty
    SCHEMA.validate(frame[:1])


def test_the_example_of_each_kind_is_a_request_in_its_form():
    for interface in (IMAGES, TEXTS, TABLE, TIMED):
        request = tensors.parse(json.dumps(interface.build_example()).encode(), None)
        assert len(interface.read_rows(request.inputs)) == 1
    frame = TABLE.read_rows(tensors.parse(json.dumps(TABLE.build_example()).encode(), None).inputs)
    SCHEMA.validate(frame)
    example = TIMED.build_example()
    assert [item["data"] for item in example["inputs"]] == [
        ["2020-01-01"],
        ["2026-03-04T00:00:00+00:00"],
        ["2026-03-04T00:00:00"],
    ]
    TIMES.validate(TIMED.read_rows(tensors.parse(json.dumps(example).encode(), None).inputs))


def read_csv(path):
    """The rows of a file of times, as predict reads them."""
    data = SimpleNamespace(SCHEMA=TIMES)
    columns = row_files.read_columns(path, "tabular-regression", data, lambda name: False)
    (batch,) = row_files.read_batches(path, "tabular-regression", data, columns)
    return batch.x


@pytest.mark.parametrize("binary", [True, False])
def test_a_time_is_a_text_that_the_service_reads_as_predict_reads_it_from_a_csv(tmp_path, binary):
    texts = {
        "signed_up": ["2026-03-04", "2026-03-04T15:30:00.123456789", ""],
        "seen": ["2026-03-04T15:30Z", "2026-03-04 15:30:00+01:00", "9999-12-31T00:00:00+00:00"],
        "due": ["2026-03-04", "2026-04-04T00:00:00", "2026-04-04 00:00"],
    }
    pd.DataFrame(texts).to_csv(tmp_path / "rows.csv", index=False)
    of_file = read_csv(tmp_path / "rows.csv")
    inputs = [tensors.Tensor(name, "BYTES", np.array(values, dtype=object)) for name, values in texts.items()]
    frame = TIMED.read_rows(sent(*inputs, binary=binary).inputs)
    pd.testing.assert_frame_equal(frame, of_file)
    TIMES.validate(frame)
    assert frame["signed_up"][1] == pd.Timestamp("2026-03-04T15:30:00.123456789") and pd.isna(frame["signed_up"][2])
    assert frame["seen"][1] == pd.Timestamp("2026-03-04T14:30Z")
    described = {item.name: item.as_json() for item in TIMED.inputs}
    assert described["seen"] == {
        "name": "seen",
        "datatype": "BYTES",
        "shape": [-1],
        "parameters": {"content_type": "datetime"},
    }
    assert "parameters" not in TABLE.inputs[0].as_json()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("signed_up", "04/03/2026"),
        ("signed_up", "2026-3-4"),
        ("signed_up", "2026-02-30"),
        ("signed_up", "2026"),
        ("signed_up", "now"),
        ("signed_up", "1600-01-01"),  # nanoseconds have none
        ("signed_up", "2026-03-04T15:30:00Z"),  # the service cannot know the time zone
        ("seen", "2026-03-04T15:30:00"),
        ("seen", "2026-03-04T15:30:00.123456789Z"),  # more than the column holds
    ],
)
def test_a_text_that_is_no_time_is_refused_by_a_file_and_by_the_service_in_the_same_words(tmp_path, name, text):
    texts = {"signed_up": "2026-03-04", "seen": "2026-03-04T15:30Z", "due": "2026-03-04"} | {name: text}
    pd.DataFrame([texts]).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(Refused) as of_file:
        read_csv(tmp_path / "rows.csv")
    inputs = [tensors.Tensor(key, "BYTES", np.array([value], dtype=object)) for key, value in texts.items()]
    with pytest.raises(Refused) as of_service:
        TIMED.read_rows(sent(*inputs, binary=False).inputs)
    assert str(of_file.value) == str(of_service.value)
    assert (of_service.value.name, of_service.value.column) == ("type", name)
    assert f"column '{name}' is not a time such as 2026-03-04T15:30:00" in str(of_service.value)
    assert f"('{text}') in row 0" in str(of_service.value)


def test_a_missing_number_is_null_and_a_number_too_large_is_refused():
    def one(datatype, value):
        body = {"inputs": [{"name": "x", "datatype": datatype, "shape": [1], "data": [value]}]}
        return tensors.parse(json.dumps(body).encode(), None).inputs["x"].values

    assert np.isnan(one("FP64", None)[0])
    for datatype, value in (
        ("INT64", 2**63),
        ("INT32", None),
        ("INT64", 1.0),
        ("BOOL", 1),
        ("BYTES", 1),
        ("INT64", True),
    ):
        with pytest.raises(Refusal, match=f"'x' has values that are not {datatype}"):
            one(datatype, value)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(-1, 300).map(str)))
def test_bytes_that_are_no_request_are_refused_and_nothing_else_happens(body, header_length):
    with pytest.raises(Refusal):
        tensors.parse(body, header_length)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.just("FP64") | st.just("BYTES"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "datatype", "shape", "data", "parameters", "binary_data_size"]), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(JSON, max_size=3), JSON, JSON, st.binary(max_size=20))
def test_json_of_any_form_is_a_request_or_refused(inputs, outputs, parameters, rest):
    text = json.dumps({"inputs": inputs, "outputs": outputs, "parameters": parameters}).encode()
    try:
        request = tensors.parse(text + rest, str(len(text)))
        TABLE.read_rows(request.inputs)
    except Refusal:
        return
