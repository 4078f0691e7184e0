"""A file of views: both formats alike, and what is wrong with one in a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionjax.errors import InputError
from studies.data.view_file import ViewFile

COUNT = 60


def arrays(**changes: Any) -> dict[str, Any]:
    """Three classes, two views; ``None`` leaves an array out."""
    value = np.arange(COUNT * 2, dtype=float).reshape(COUNT, 2)
    whole = {"view_a": value, "view_b": value[:, :1] + 1, "label": np.arange(COUNT) % 3}
    return {k: v for k, v in (whole | changes).items() if v is not None}


def written(path: Path, **changes: Any) -> Path:
    np.savez(path, **arrays(**changes))
    return path


def changed(values: np.ndarray, row: int, value: Any) -> np.ndarray:
    out = values.copy()
    out[row] = value
    return out


def test_both_formats_hold_the_same(tmp_path: Path) -> None:
    value = arrays()["view_a"]
    time, split = np.arange(COUNT) // 2, np.array(["train", "dev", "test"])[np.arange(COUNT) // 20]
    extra = {"present_a": np.arange(COUNT) != 3, "time": time, "split": split}
    first = ViewFile.read(written(tmp_path / "a.npz", **extra, view_b=changed(value, 5, np.nan)))
    columns = {
        "view_a": value.tolist(),
        "view_b": [None if i == 5 else x for i, x in enumerate(value.tolist())],
        "label": arrays()["label"],
        **extra,
    }
    pq.write_table(pa.table(columns), tmp_path / "b.parquet")
    second = ViewFile.read(tmp_path / "b.parquet")
    for name in ("view_a", "view_b"):
        np.testing.assert_array_equal(first.x[name], second.x[name])
    assert np.isnan(first.x["view_a"]).any(1).nonzero()[0].tolist() == [3]
    assert np.isnan(first.x["view_b"]).any(1).nonzero()[0].tolist() == [5]
    assert first.classes == second.classes == ("0", "1", "2")
    assert first.time is not None
    assert first.part is not None
    for one, other in ((first.label, second.label), (first.time, second.time)):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(first.part, split)


VALUE, LABEL, ONES = arrays()["view_a"], arrays()["label"], np.ones(COUNT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"view_a": None, "view_b": None},
            r"lacks view_\*; it holds label, expected view_\* \[N, D",
        ),
        ({"label": None}, r"lacks label; it holds view_a, view_b, expected"),
        ({"lable": LABEL}, r"holds 'lable'; expected .*: rename or drop it"),
        ({"present_c": ONES}, r"holds 'present_c'; expected"),
        ({"view-a": VALUE}, r"rename 'view-a'; expected letters, digits and _"),
        ({"view_a": VALUE[:-1]}, r"view_a has the shape \(59, 2\) beside 60 labels; expected"),
        ({"view_a": VALUE[:, 0]}, r"view_a has the shape \(60,\) beside 60 labels; expected"),
        ({"label": ONES[:, None]}, r"label has the shape \(60, 1\) beside 60 labels"),
        ({"view_a": VALUE[:, :0]}, r"view_a is \(60, 0\) of float64; expected \[N, D\] numbers"),
        ({"view_a": VALUE.astype(str)}, r"view_a is \(60, 2\) of <U32; expected \[N, D\] numbers"),
        ({"view_a": changed(VALUE, 7, np.inf)}, r"view_a row 7 is infinite \(1 such rows\)"),
        ({"present_a": changed(ONES.astype(int), 4, 2)}, r"present_a row 4 is 2; expected 1 where"),
        ({"present_a": ONES / 2}, r"present_a row 0 is 0.5; expected 1 where present, 0"),
        ({"present_a": ONES < 1, "present_b": ONES < 1}, r"row 0 has no view present; drop it, or"),
        ({"label": ONES.astype(int)}, r"all labels are 1; expected two classes or more"),
        ({"label": changed(LABEL * 1.0, 9, 0.5)}, r"label row 9 is 0.5; expected a class: a whole"),
        ({"label": changed(LABEL * 1.0, 9, np.nan)}, r"label row 9 is nan; expected a class"),
        ({"label": LABEL * 1j}, r"label row 0 is 0j; expected a class"),
        ({"time": changed(ONES, 2, np.nan)}, r"time row 2 is nan; expected a number or a datetime"),
        ({"time": ONES.astype(str)}, r"time row 0 is 1.0; expected a number or a datetime64"),
        ({"split": LABEL}, r"split row 2 is 2; expected 0 \(train\) or 1 \(test\), or the texts"),
        ({"split": ONES.astype(str)}, r"split row 0 is 1.0; expected 0 \(train\)"),
        ({"split": ONES.astype(int)}, r"split has no row of train; mark some"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=r"own\.npz: " + message):
        ViewFile.read(written(tmp_path / "own.npz", **changes))


def test_few_rows_are_refused(tmp_path: Path) -> None:
    few = {k: v[:49] for k, v in arrays().items()}
    with pytest.raises(InputError, match=r"own.npz: holds 49 rows; expected 50 or more: add sampl"):
        ViewFile.read(written(tmp_path / "own.npz", **few))


def test_a_list_of_fixed_length_or_with_an_empty_cell_is_a_view(tmp_path: Path) -> None:
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(VALUE.ravel()), 2)
    columns = {"view_a": fixed, "view_b": [[1.0, None]] * 2 + [[1.0, 2.0]] * 58, "label": LABEL}
    pq.write_table(pa.table(columns), tmp_path / "own.parquet")
    read = ViewFile.read(tmp_path / "own.parquet")
    np.testing.assert_array_equal(read.x["view_a"], VALUE)
    assert np.isnan(read.x["view_b"]).any(1).nonzero()[0].tolist() == [0, 1]


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.npz: no such file; set config.ladder.root to an"):
        ViewFile.read(tmp_path / "gone.npz")
    (tmp_path / "own.mat").touch()
    with pytest.raises(InputError, match=r"own.mat: ends in '.mat'; expected an .npz or .parquet"):
        ViewFile.read(tmp_path / "own.mat")
    for suffix in ("npz", "parquet"):
        path = tmp_path / f"bad.{suffix}"
        path.write_bytes(b"PK not really")
        with pytest.raises(InputError, match=rf"cannot be read as {suffix} \(.*copy it again"):
            ViewFile.read(path)
    objects = written(tmp_path / "own.npz", label=np.array([1, "a"] * 30, object))
    with pytest.raises(
        InputError, match=r"own.npz: cannot be read as npz .*an array of Python obj"
    ):
        ViewFile.read(objects)


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, view_a=np.zeros((20_000, 1000)), label=np.arange(20_000) % 2)
    with pytest.raises(InputError, match=r"bomb.npz: it unpacks to 160,.* bytes"):
        ViewFile.read(path)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"view_a": ONES}, r"view_a holds double; expected lists of numbers, of one length"),
        ({"view_a": [[1.0, 2.0]] * 59 + [[1.0]]}, r"view_a has lists of 1, 2 numbers; expected"),
        ({"view_a": pa.nulls(COUNT, pa.list_(pa.float64()))}, r"view_a has lists of no numbers"),
        ({"view_a": [["x"]] * COUNT}, r"column view_a holds list<.*; expected plain cells"),
        ({"label": ["x" * 201] * COUNT}, r"label has texts of over 200 characters; shorten them"),
        ({"label": [*range(59), None]}, r"label row 59 is empty; expected a value: fill it in"),
    ],
)
def test_columns_that_are_no_views(tmp_path: Path, column: dict[str, Any], message: str) -> None:
    path = tmp_path / "own.parquet"
    columns = {"view_b": VALUE.tolist(), "view_a": VALUE.tolist(), "label": LABEL}
    pq.write_table(pa.table(columns | column), path)
    with pytest.raises(InputError, match=r"own\.parquet: " + message):
        ViewFile.read(path)
