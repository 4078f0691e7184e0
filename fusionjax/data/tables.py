"""Reads untrusted tables; the unpacked size is checked before memory is allocated."""

import contextlib
import csv
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fusionjax.errors import InputError

# Columns that hold text whatever their cells look like: 000001, NA and TRUE are tickers.
TEXT = (
    *("symbol", "exchange", "date", "sector", "event_time", "available_time", "text", "author"),
    *("source", "path", "id", "event", "unique_id", "item_id", "model", "name"),
    *("known_time", "due_time", "occurrence"),
)
# Of a CSV's other columns: pandas' own words for a missing cell.
_MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
_PAGE = "is a web page or XML; look into it, and download the table again"
# First bytes of files that carry a table's name by mistake.
_FOREIGN = {
    b"\x1f\x8b": "is compressed by gzip; unpack it",
    b"BZh": "is compressed by bzip2; unpack it",
    b"\xfd7zXZ": "is compressed by xz; unpack it",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd; unpack it",
    b"PK\x03\x04": "is a ZIP archive, as Excel's workbooks are; unpack it or export CSV",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook; export CSV",
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
    b"ARROW1": "is an Arrow file; write parquet",
    b"<!": _PAGE,
    b"<html": _PAGE,
    b"<HTML": _PAGE,
    b"<?xml": _PAGE,
}
_COLUMNS = 10_000  # of a CSV; each costs kilobytes, however short its cells
_HEAD = 1_000_000  # characters of a CSV in which its header must end
_CELL = 8  # bytes of a cell, at least
_INDEX = "__index_level_"  # pandas' name for an unnamed index
# Limits of the unpacked size: _SMALL bytes, or _RATIO times the file if that is more. Real tables
# have a ratio below 4.
_SMALL, _RATIO = 128_000_000, 64
_HEX = np.array([f"{byte:02x}" for byte in range(256)], "S2")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Names the file where the block ends with an error that is no InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as e:  # a damaged file may raise an error of any class
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise InputError(
            f"{path}: cannot be read as {path.suffix[1:]} ({reason}); it may be truncated: copy it "
            "again"
        ) from e


def read(path: Path) -> pd.DataFrame:
    """Reads a parquet, CSV or JSON-lines file; columns named in ``TEXT`` as they are written.

    Raises:
      InputError: it is another kind of file, or holds what a table may not.
      Exception: of any class, where the file is damaged.
    """
    if what := foreign(path):
        raise InputError(f"{path}: {what}")
    return {".parquet": _parquet, ".jsonl": _lines, ".csv": _csv}[path.suffix](path)


def foreign(path: Path) -> str:
    """What a file is that is none of the table that its name says; mostly empty."""
    with path.open("rb") as f:
        head = f.read(16).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"PAR1") and path.suffix.lower() != ".parquet":
        return f"is parquet; call it {path.with_suffix('.parquet').name}"
    return next((what for start, what in _FOREIGN.items() if head.startswith(start)), "")


def _parquet(path: Path) -> pd.DataFrame:
    return parquet(path).to_pandas()


def parquet(path: Path, *, lists: bool = False) -> pa.Table:
    """Reads the columns and ignores pandas' metadata on index and types.

    Args:
      path: of the file.
      lists: whether columns may hold lists of numbers.

    Raises:
      Exception: of any class, where the file is damaged.
    """
    try:
        return _plain_parquet(path, lists)
    except pa.ArrowNotImplementedError as e:
        raise InputError(
            f"{path}: holds a type that pyarrow {pa.__version__} does not read ({e}); cast that "
            "column to 64-bit numbers or text"
        ) from e


def _plain_parquet(path: Path, lists: bool) -> pa.Table:
    with pq.ParquetFile(path) as f:
        names = [n for n in f.schema_arrow.names if not n.startswith(_INDEX)]
        if repeated := {n for n in names if names.count(n) > 1}:
            raise InputError(f"{path}: two columns have one name, {min(repeated)!r}; rename one")
        for column in f.schema_arrow:
            if pa.types.is_nested(column.type) and not (lists and _is_of_numbers(column.type)):
                raise InputError(
                    f"{path}: column {column.name} holds {column.type}; expected plain cells: "
                    "drop or unpack it"
                )
        leaves = [f.schema.column(j) for j in range(f.metadata.num_columns)]
        groups = [f.metadata.row_group(i) for i in range(f.metadata.num_row_groups)]
        cells = sum(
            g.column(j).num_values * max(_CELL, leaf.length)
            for g in groups
            for j, leaf in enumerate(leaves)
        )
        check_size(path, cells)
    # Read as dictionaries, equal texts take memory once until their size is checked.
    text_columns = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    # INT96 is read in nanoseconds otherwise, in which the years before 1678 and after 2261 wrap.
    with pq.ParquetFile(path, read_dictionary=text_columns, coerce_int96_timestamp_unit="us") as f:
        table = f.read().replace_schema_metadata(None)
    table = table.select([i for i, n in enumerate(table.column_names) if not n.startswith(_INDEX)])
    check_size(path, cells + sum(map(_text_bytes, table.columns)))
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            columns.append(decoded(column))
        except pa.ArrowInvalid as e:
            raise InputError(
                f"{path}: column {name} holds bytes that are not text in UTF-8; convert or drop it"
            ) from e
    return pa.Table.from_arrays(columns, table.column_names)


def _is_of_numbers(of: pa.DataType) -> bool:
    if not (pa.types.is_list(of) or pa.types.is_fixed_size_list(of)):
        return False
    return pa.types.is_integer(of.value_type) or pa.types.is_floating(of.value_type)


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column in plain types.

    Without dictionaries; bytes as text, for not every writer marks UTF-8; decimals as floats; UUIDs
    as text; zoned times in UTC, even of an unknown zone.

    Raises:
      pa.ArrowInvalid: bytes are not UTF-8.
    """
    if _is_dictionary(column):
        column = column.cast(column.type.value_type)
    kind = column.type
    if isinstance(kind, pa.UuidType):
        return pa.chunked_array([_hexadecimal(c.storage) for c in column.chunks], pa.string())
    if pa.types.is_fixed_size_binary(kind):
        column = column.cast(pa.binary())
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return column.cast(pa.large_string())
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    return column.cast(pa.float64()) if pa.types.is_decimal(kind) else column


def _hexadecimal(column: pa.FixedSizeBinaryArray) -> pa.Array:
    """Each cell's bytes as 32 digits."""
    filled = column.fill_null(bytes(column.type.byte_width))
    cells = np.frombuffer(b"".join(filled.to_pylist()), np.uint8)
    digits = _HEX[cells].view(f"S{2 * column.type.byte_width}").astype(str)
    return pa.array(digits, pa.string(), mask=column.is_null().to_numpy(zero_copy_only=False))


def _is_dictionary(column: pa.ChunkedArray) -> bool:
    return pa.types.is_dictionary(column.type)


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of the cells of a dictionary column of texts; 0 for other columns."""
    if not _is_dictionary(column) or pa.types.is_primitive(column.type.value_type):
        return 0
    sizes = (pc.take(pc.binary_length(c.dictionary), c.indices) for c in column.chunks)
    return sum(pc.sum(s).as_py() or 0 for s in sizes)


def _lines(path: Path) -> pd.DataFrame:
    return pd.DataFrame(lines(path))


def lines(path: Path) -> list[dict]:
    """The objects of a JSON-lines file.

    Raises:
      InputError: a line is none.
      ValueError: the last line is cut off.
    """
    rows: list[dict] = []
    names: set[str] = set()
    with path.open("rb") as f:  # pandas' own reader would guess at dates
        for number, line in enumerate(f, 1):
            if line.strip():
                rows.append(_object(path, line, number))
                names.update(rows[-1])
                check_size(path, len(rows) * len(names) * _CELL)  # a row has a cell for every name
    return rows


def _object(path: Path, line: bytes, number: int) -> dict:
    try:
        row = json.loads(line.decode("utf-8-sig"))  # a file put together has marks inside too
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: line {number} is not UTF-8; save the file as UTF-8") from e
    except (ValueError, RecursionError) as e:
        why = f"line {number} is not JSON ({e})"
        if not line.endswith(b"\n"):
            raise ValueError(why) from e  # the end may be cut off
        raise InputError(f"{path}: {why}; expected an object a line") from e
    if not isinstance(row, dict):
        start = line[:40].decode("utf-8-sig", "replace").strip()[:20]
        raise InputError(f"{path}: line {number} is {start!r}; expected an object a line")
    return row


def text_cells(path: Path) -> pd.DataFrame:
    """All cells of a CSV as texts, its header among them; an empty cell is missing.

    Raises:
      InputError: it is not UTF-8, or has very many columns.
      Exception: of any class, where the file is damaged.
    """
    try:
        _header(path)
        return pd.read_csv(
            path,
            header=None,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: line {_not_utf8(path)} is not UTF-8; save it as UTF-8") from e


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as f:
        head = f.read(_HEAD)
    header = next(filter(None, csv.reader(io.StringIO(head, newline=None))), [])
    if len(header) > _COLUMNS:
        raise InputError(
            f"{path}: its header names {len(header):,} columns or more; {_COLUMNS:,} are too many"
        )
    return header


def _csv(path: Path) -> pd.DataFrame:
    try:
        header = _header(path)
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys(TEXT, str),
            keep_default_na=False,
            na_values={name: [""] if name in TEXT else list(_MISSING) for name in header},
            # Exactly, as row hashes depend on the bits: before 3.1, which deprecates the argument,
            # pandas' default is off by an ulp or two in one of six long numbers.
            float_precision="round_trip",
        )
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: line {_not_utf8(path)} is not UTF-8; save it as UTF-8") from e
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes the first columns for an index
        raise InputError(
            f"{path}: its rows have more cells than the {len(header)} that its header names; "
            "remove commas at the ends of lines, or name all columns"
        )
    return table


def _not_utf8(path: Path) -> int:
    """The number of the first line that is not UTF-8."""
    with path.open("rb") as lines:
        return 1 + sum(1 for _ in itertools.takewhile(_is_utf8, lines))


def _is_utf8(line: bytes) -> bool:
    try:
        return line.decode() is not None
    except UnicodeDecodeError:
        return False


def check_size(path: Path, size: int) -> None:
    """Refuses a file that would take too much memory.

    Raises:
      InputError: ``size``, the bytes it unpacks to, is too much beside the file's own size.
    """
    limit = max(_SMALL, _RATIO * path.stat().st_size)
    if size > limit:
        raise InputError(
            f"{path}: it unpacks to {size:,} bytes or more; from its size at most {limit:,}"
        )
