"""A file of views: any number of feature vectors a sample, and its class."""

import dataclasses
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int64

from fusionjax import files
from fusionjax.data import tables
from fusionjax.errors import InputError

_EXPECTED = "view_* [N, D], label [N] and, if there are any, present_*, time and split [N]"
_PARTS = ("train", "dev", "test")
_NAME = 200  # characters of a class: an array of texts is as wide as the longest
_LEAST = 50  # rows: fewer leave too little to learn from, to weigh by and to score


@dataclasses.dataclass(frozen=True)
class ViewFile:
    """What a file of views holds, in its own order.

    Attributes:
      x: by view, [N, D]; NaN where a row lacks the view.
      label: number of each row's class.
      classes: their names, in order.
      time: of each row, in any unit that is ordered; None without.
      part: "train", "dev" or "test" of each row; None if the file has no split.
    """

    x: dict[str, Float[np.ndarray, "N _"]]
    label: Int64[np.ndarray, "N"]
    classes: tuple[str, ...]
    time: np.ndarray | None
    part: np.ndarray | None

    @staticmethod
    def read(path: Path) -> "ViewFile":
        """Reads an ``.npz``, or a parquet file whose views are columns of lists.

        Raises:
          InputError: the file is missing, damaged, or not as docs/fusion.md describes one.
        """
        arrays = _arrays(path)
        names = [name for name in arrays if name.startswith("view")]
        masks = {name.replace("view", "present", 1): name for name in names}
        _require_names(path, arrays, names, masks)
        count = len(arrays["label"])
        for name, array in arrays.items():
            if array.shape[:1] != (count,) or array.ndim != 1 + (name in names):
                raise InputError(
                    f"{path}: {name} has the shape {array.shape} beside {count} labels; expected "
                    f"{_EXPECTED}: give each a row for each sample"
                )
        if count < _LEAST:
            raise InputError(f"{path}: holds {count} rows; expected {_LEAST} or more: add samples")
        x = {name: _numbers(path, name, arrays[name]) for name in names}
        for mask, name in masks.items():
            if mask in arrays:
                x[name][~_flags(path, mask, arrays[mask])] = np.nan
        bare = np.all([np.isnan(v).any(1) for v in x.values()], axis=0)
        if bare.any():
            raise InputError(
                f"{path}: row {bare.argmax()} has no view present; drop it, or add a view that is "
                "always there"
            )
        label, classes = _classes(path, arrays["label"])
        return ViewFile(
            x,
            label,
            classes,
            _times(path, arrays["time"]) if "time" in arrays else None,
            _parts(path, arrays["split"]) if "split" in arrays else None,
        )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; set config.ladder.root to an .npz or .parquet file of views"
        )
    if path.suffix not in (".npz", ".parquet"):
        raise InputError(f"{path}: ends in {path.suffix!r}; expected an .npz or .parquet file")
    with tables.reading(path):
        return _npz(path) if path.suffix == ".npz" else _parquet(path)


def _npz(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as f:
        tables.check_size(path, sum(member.file_size for member in f.infolist()))
    arrays = files.arrays(path)
    if arrays is None:
        raise ValueError("damaged, or an array of Python objects")
    return arrays


def _parquet(path: Path) -> dict[str, np.ndarray]:
    table = tables.parquet(path, lists=True)
    return {n: _column(path, n, table[n].combine_chunks()) for n in table.column_names}


def _column(path: Path, name: str, column: pa.Array) -> np.ndarray:
    """A column as an array; of a view [N, D], all NaN where a row has none."""
    if not name.startswith("view"):
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise InputError(f"{path}: {name} row {row} is empty; expected a value: fill it in")
        if (
            not pa.types.is_primitive(column.type)
            and pc.max(pc.utf8_length(column)).as_py() > _NAME
        ):
            raise InputError(f"{path}: {name} has texts of over {_NAME} characters; shorten them")
        array = np.asarray(column.to_numpy(zero_copy_only=False))
        return array.astype(str) if array.dtype == object else array
    if not (pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)):
        raise InputError(
            f"{path}: {name} holds {column.type}; expected lists of numbers, of one length: write "
            "a view as one column"
        )
    there = column.is_valid().to_numpy(zero_copy_only=False)
    rows = column.drop_null()
    width = pc.list_value_length(rows).to_numpy(zero_copy_only=False)
    lengths = sorted(set(width.tolist()))
    if len(lengths) != 1:
        raise InputError(
            f"{path}: {name} has lists of {', '.join(map(str, lengths)) or 'no'} numbers; expected "
            "one length: leave a row empty that lacks the view"
        )
    array = np.full((len(column), lengths[0]), np.nan)
    array[there] = rows.flatten().to_numpy(zero_copy_only=False).reshape(-1, lengths[0])
    return array


def _require_names(
    path: Path, arrays: dict[str, np.ndarray], names: list[str], masks: dict[str, str]
) -> None:
    if not names or "label" not in arrays:
        raise InputError(
            f"{path}: lacks {'label' if names else 'view_*'}; it holds "
            f"{', '.join(arrays) or 'nothing'}, expected {_EXPECTED}"
        )
    for name in arrays:
        if name in names and not re.fullmatch(r"\w+", name, re.ASCII):
            raise InputError(f"{path}: rename {name!r}; expected letters, digits and _ in a name")
        if name not in names and name not in masks and name not in ("label", "time", "split"):
            raise InputError(f"{path}: holds {name!r}; expected {_EXPECTED}: rename or drop it")


def _numbers(path: Path, name: str, array: np.ndarray) -> Float[np.ndarray, "N D"]:
    if array.dtype.kind not in "buif" or not array.shape[1]:
        raise InputError(
            f"{path}: {name} is {array.shape} of {array.dtype}; expected [N, D] numbers, NaN in a "
            "row that lacks the view"
        )
    x = array.astype(float)
    if (bad := np.isinf(x).any(1)).any():
        raise InputError(
            f"{path}: {name} row {bad.argmax()} is infinite ({bad.sum()} such rows); expected "
            "numbers, NaN in a row that lacks the view"
        )
    return x


def _flags(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "bui" or not (good := np.isin(array, (0, 1))).all():
        row = 0 if array.dtype.kind not in "bui" else int(good.argmin())
        raise InputError(f"{path}: {name} row {row} is {array[row]!s}; expected 1 where present, 0")
    return array.astype(bool)


def _classes(path: Path, label: np.ndarray) -> tuple[Int64[np.ndarray, "N"], tuple[str, ...]]:
    whole = label.dtype.kind in "buiU"
    if label.dtype.kind == "f":
        whole = bool((good := np.isfinite(label) & (label == np.round(label))).all())
    if not whole:
        row = int(good.argmin()) if label.dtype.kind == "f" else 0
        raise InputError(
            f"{path}: label row {row} is {label[row]!s}; expected a class: a whole number or a text"
        )
    found, number = np.unique(label, return_inverse=True)
    if len(found) < 2:
        raise InputError(f"{path}: all labels are {found[0]!s}; expected two classes or more")
    return number.astype(np.int64), tuple(str(x) for x in found.tolist())


def _times(path: Path, time: np.ndarray) -> np.ndarray:
    bad = np.full(len(time), time.dtype.kind not in "uifM")
    if time.dtype.kind in "fM":
        bad = pd.isna(time)
    if bad.any():
        raise InputError(
            f"{path}: time row {bad.argmax()} is {time[bad.argmax()]!s}; expected a number or a "
            "datetime64 in every row"
        )
    return time


def _parts(path: Path, split: np.ndarray) -> np.ndarray:
    """Parts by name: 0 is "train" and 1 "test", where they are numbers."""
    part = np.where(split == 1, "test", np.where(split == 0, "train", "?"))
    part = split if split.dtype.kind == "U" else part
    if (bad := ~np.isin(part, _PARTS)).any():
        raise InputError(
            f"{path}: split row {bad.argmax()} is {split[bad.argmax()]!s}; expected 0 (train) or 1 "
            "(test), or the texts train, dev and test"
        )
    lacks = [name for name in ("train", "test") if not (part == name).any()]
    if lacks:
        raise InputError(f"{path}: split has no row of {lacks[0]}; mark some")
    return part
