"""
Evidence from outside is refused with a reason, whatever its files contain: never a traceback, never much memory.

    pytest tests/modelgate/test_evaluation.py
"""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from modelgate.gate import rules
from modelgate.promotion import evaluation
from modelgate.promotion import evidence as form
from modelgate.tracking import arrays

STORED = Path(__file__).with_name("evidence_schema_1")
EVIDENCE, REPORT, PREDICTIONS = ((STORED / name).read_bytes() for name in evaluation.MAX_BYTES)
with np.load(io.BytesIO(PREDICTIONS)) as _stored:
    ANSWERS = dict(_stored)


def packed(**changes):
    """Return the stored answers, with some of them changed or left out (None)."""
    file = io.BytesIO()
    np.savez_compressed(file, **{name: rows for name, rows in (ANSWERS | changes).items() if rows is not None})
    return file.getvalue()


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as target:
        for name, content in members:
            target.writestr(name, content)
    return file.getvalue()


def array(header, data=b""):
    """Return a member with this header, which NumPy evaluates before it reads."""
    text = header.encode() + b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def damaged(content):
    """Change one byte of the first member's data, so that its CRC no longer matches."""
    offset = len(content) // 3
    return content[:offset] + bytes([content[offset] ^ 0xFF]) + content[offset + 1 :]


def huge():
    """Return a few kilobytes that unpack to more than is allowed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target, target.open("labels.npy", "w") as member:
        for _ in range(evaluation.MAX_UNPACKED_BYTES // 20_000_000 + 1):
            member.write(bytes(20_000_000))
    return file.getvalue()


LABELS, CANDIDATE = ANSWERS["labels"], ANSWERS["candidate"]
PREDICTIONS_THAT_ARE_NONE = {
    "nothing": b"",
    "no zip": b"answers",
    "a truncated zip": PREDICTIONS[: len(PREDICTIONS) // 2],
    "a zip without its end": PREDICTIONS[:-10],
    "a wrong CRC": damaged(PREDICTIONS),
    "a zip in a zip": zipped([("labels.npy", PREDICTIONS)]),
    "two members of one name": zipped([("labels.npy", b""), ("labels.npy", b"")], zipfile.ZIP_STORED),
    "no array": zipped([("labels.npy", b"not NumPy's"), ("candidate.npy", b"")]),
    "an empty member": zipped([("labels.npy", b""), ("candidate.npy", b"")]),
    "a header that is no Python": zipped([("labels.npy", array("{'descr': "))]),
    "a header that nests": zipped([("labels.npy", array("(" * 5000 + ")" * 5000))]),
    "a header that promises a terabyte": zipped(
        [("labels.npy", array("{'descr': '<i8', 'fortran_order': False, 'shape': (137438953472,), }"))]
    ),
    "a header with a negative length": zipped(
        [("labels.npy", array("{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }"))]
    ),
    "too many members": zipped([(f"{number}.npy", b"") for number in range(arrays.MAX_MEMBERS + 1)]),
    "Python objects": packed(candidate=np.array([{}, {}], dtype=object)),
    "no labels": packed(labels=None),
    "no answers": packed(candidate=None),
    "no answers of production": packed(production=None),
    "no rows at all": packed(labels=LABELS[:0], candidate=CANDIDATE[:0], production=CANDIDATE[:0]),
    "answers in one dimension": packed(candidate=CANDIDATE[:, 0]),
    "answers of no dimension": packed(candidate=np.float32(1)),
    "answers in three dimensions": packed(candidate=CANDIDATE[:, :, None]),
    "answers of no class": packed(candidate=CANDIDATE[:, :0], production=CANDIDATE[:, :0]),
    "answers that are text": packed(candidate=CANDIDATE.astype(str)),
    "complex answers": packed(candidate=CANDIDATE.astype(np.complex64)),
    "answers of production in other classes": packed(production=CANDIDATE[:, :5]),
    "labels in two dimensions": packed(labels=LABELS[:, None]),
    "labels that are fractions": packed(labels=LABELS + 0.5),
    "labels beyond the classes": packed(labels=LABELS + 5),
    "labels below the classes": packed(labels=LABELS - 1),
    "labels beyond 64 bits": packed(labels=np.full(len(LABELS), 2**64 - 1, dtype=np.uint64)),
    "groups that are text": packed(**{"slices/ink": LABELS.astype(str)}),
    "groups that are fractions": packed(**{"slices/ink": LABELS / 2}),
    "names of groups that are numbers": packed(**{"groups/ink": np.arange(3)}),
    "too many groups": packed(**{"slices/ink": np.arange(evaluation.MAX_GROUPS + 1)}),
    "names of other classes": packed(classes=np.array(["a", "b"])),
    "names that are numbers": packed(classes=np.arange(10)),
    "groups in two dimensions": packed(**{"slices/ink": LABELS[:, None]}),
}
EVIDENCE_THAT_IS_NONE = {
    "nothing": b"",
    "no JSON": b"evidence",
    "bytes that are no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "a number beyond a float": EVIDENCE.replace(b'"margin": 0.005', b'"margin": 1e999'),
    "a number of a million digits": b'{"schema": 1' + b"0" * 1_000_000 + b"}",
    "a size beyond 53 bits": EVIDENCE.replace(b'"size_bytes": ', b'"size_bytes": 9' + b"0" * 400),
    "a version of a thousand digits": EVIDENCE.replace(b":v", b":v" + b"9" * 1000),
    "lists in lists": b"[" * 1_000_000,
    "objects in objects": b'{"policy": ' * 500_000,
    "two surrogates": EVIDENCE.replace(b'"digits"', b'"\\ud800\\ud800"'),
}


def test_what_evaluate_has_written_is_read():
    evidence, report, scores = evaluation.unpack(EVIDENCE, REPORT, PREDICTIONS)
    assert (evidence.verdict, scores.rows, len(scores.candidate)) == ("pass", 497, 497)
    assert report.startswith("# ")
    assert evaluation.unpack(EVIDENCE, REPORT, packed())[2].rows == 497


@pytest.mark.parametrize("content", PREDICTIONS_THAT_ARE_NONE.values(), ids=PREDICTIONS_THAT_ARE_NONE)
def test_answers_that_are_none_are_refused(content):
    with pytest.raises(ValueError):
        evaluation.unpack(EVIDENCE, REPORT, content)


def regression(**changes):
    """Return evidence of a regression with these answers."""
    content = form.as_json(form.parse(EVIDENCE)) | {"task": "tabular-regression", "metric": "within_tolerance"}
    content["policy"]["tolerance"] = 5.0
    return json.dumps(content | changes).encode()


def numbers(**changes):
    targets = np.linspace(0, 10, 497)
    return zipped_arrays({"targets": targets, "candidate": targets + 1, "production": targets} | changes)


def zipped_arrays(arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **{name: rows for name, rows in arrays.items() if rows is not None})
    return file.getvalue()


def test_the_answers_of_a_regression_are_read():
    groups = {"slices/km/h": np.array([0] * 200 + [1] * 297), "groups/km/h": np.array(["slow", "fast"])}
    _, _, scores = evaluation.unpack(regression(), REPORT, numbers(**groups))
    assert scores.is_regression and scores.targets.dtype == np.float64
    assert [(name, int(rows.sum())) for name, rows in rules.list_groups(scores)] == [
        ("km/h slow", 200),
        ("km/h fast", 297),
    ]


@pytest.mark.parametrize(
    ("changes", "arrays", "message"),
    [
        ({"task": "tabular-classification"}, {}, "within_tolerance is not a metric of tabular-classification"),
        ({"metric": "f1"}, {}, "f1 is not a metric of tabular-regression"),
        ({"metric": "cost"}, {}, "the values of the rows for cost are missing"),
        ({}, {"candidate": np.ones((497, 2))}, "not one number per row"),
        ({}, {"targets": np.full(497, np.nan)}, "a target is NaN or infinite"),
    ],
)
def test_answers_that_do_not_fit_their_task_are_refused(changes, arrays, message):
    with pytest.raises(ValueError, match=message):
        evaluation.unpack(regression(**changes), REPORT, numbers(**arrays))


def test_a_regression_without_a_tolerance_is_refused():
    content = json.loads(regression())
    content["policy"]["tolerance"] = None
    with pytest.raises(ValueError, match="without a tolerance"):
        evaluation.unpack(json.dumps(content).encode(), REPORT, numbers())


@pytest.mark.parametrize("content", EVIDENCE_THAT_IS_NONE.values(), ids=EVIDENCE_THAT_IS_NONE)
def test_evidence_that_is_none_is_refused(content):
    with pytest.raises(ValueError, match=r"evidence\.json"):
        evaluation.unpack(content, REPORT, PREDICTIONS)


def test_a_report_that_is_no_text_is_refused():
    with pytest.raises(UnicodeDecodeError):
        evaluation.unpack(EVIDENCE, b"\xff", PREDICTIONS)


def test_what_unpacks_to_more_than_is_allowed_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(evaluation, "MAX_UNPACKED_BYTES", 200_000_000)  # of zeros: 2 GB take ten seconds to compress
    content = huge()
    assert len(content) < 400_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="unpacks to"):
        evaluation.unpack(EVIDENCE, REPORT, content)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_a_line_of_any_length_is_no_trouble():
    with pytest.raises(ValueError, match=r"evidence\.json"):
        evaluation.unpack(json.dumps({"verdict": "x" * 3_000_000}).encode(), REPORT, PREDICTIONS)
