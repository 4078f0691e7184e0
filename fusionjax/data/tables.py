"""Reads untrusted tables; the unpacked size is checked before memory is allocated."""

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_COLUMNS = 10_000  # of a CSV; each costs kilobytes, however short its cells
_HEAD = 1_000_000  # characters of a CSV in which its header must end
_CELL = 8  # bytes of a cell, at least
_INDEX = "__index_level_"  # pandas' name for an unnamed index
# Limits of the unpacked size: _SMALL bytes, or _RATIO times the file if that is more. Real tables
# have a ratio below 4.
_SMALL, _RATIO = 128_000_000, 64


def read(path: Path) -> pd.DataFrame:
    """Reads a parquet, CSV or JSON-lines file.

    Raises:
      Exception: of any class, where the file is damaged.
    """
    return {".parquet": _parquet, ".jsonl": _lines, ".csv": _csv}[path.suffix](path)


def _parquet(path: Path) -> pd.DataFrame:
    """Reads the columns and ignores pandas' metadata on index and types."""
    with pq.ParquetFile(path) as f:
        names = [n for n in f.schema_arrow.names if not n.startswith(_INDEX)]
        if len(set(names)) < len(names):
            raise ValueError("two columns have one name")
        for column in f.schema_arrow:
            if pa.types.is_nested(column.type):
                raise ValueError(f"column {column.name} holds {column.type}; expected plain cells")
        leaves = [f.schema.column(j) for j in range(f.metadata.num_columns)]
        groups = [f.metadata.row_group(i) for i in range(f.metadata.num_row_groups)]
        cells = sum(
            g.column(j).num_values * max(_CELL, leaf.length)
            for g in groups
            for j, leaf in enumerate(leaves)
        )
        _check_size(path, cells)
    # Read as dictionaries, equal texts take memory once until their size is checked.
    text_columns = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    with pq.ParquetFile(path, read_dictionary=text_columns) as f:
        table = f.read().replace_schema_metadata(None)
    table = table.select([i for i, n in enumerate(table.column_names) if not n.startswith(_INDEX)])
    _check_size(path, cells + sum(map(_text_bytes, table.columns)))
    columns = [_decoded(column) for column in table.columns]
    return pa.Table.from_arrays(columns, table.column_names).to_pandas()


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without dictionaries; decimals as floats; zoned times in UTC, even of an unknown zone."""
    if _is_dictionary(column):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    return column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column


def _is_dictionary(column: pa.ChunkedArray) -> bool:
    return pa.types.is_dictionary(column.type)


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of the cells of a dictionary column of texts; 0 for other columns."""
    if not _is_dictionary(column) or pa.types.is_primitive(column.type.value_type):
        return 0
    sizes = (pc.take(pc.binary_length(c.dictionary), c.indices) for c in column.chunks)
    return sum(pc.sum(s).as_py() or 0 for s in sizes)


def _lines(path: Path) -> pd.DataFrame:
    rows: list[dict] = []
    names: set[str] = set()
    with path.open(encoding="utf-8") as lines:  # pandas' own reader would guess at dates
        for number, line in enumerate(lines, 1):
            if line.strip():
                rows.append(_object(line, number))
                names.update(rows[-1])
                _check_size(path, len(rows) * len(names) * _CELL)  # a row has a cell for every name
    return pd.DataFrame(rows)


def _object(line: str, number: int) -> dict:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise ValueError(f"line {number}: {e}") from e
    if not isinstance(row, dict):
        raise ValueError(f"line {number} is {line.strip()[:20]!r}; expected an object")
    return row


def _csv(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8", newline="") as f:
        head = f.read(_HEAD)
    columns = len(next(csv.reader(io.StringIO(head, newline=None)), ()))
    if columns > _COLUMNS:
        raise ValueError(f"its header names {columns:,} columns or more; {_COLUMNS:,} are too many")
    # Exactly, as row hashes depend on the bits: before 3.1, which deprecates the argument, pandas'
    # default is off by an ulp or two in one of six long numbers.
    return pd.read_csv(path, float_precision="round_trip")


def _check_size(path: Path, size: int) -> None:
    limit = max(_SMALL, _RATIO * path.stat().st_size)
    if size > limit:
        raise ValueError(f"it unpacks to {size:,} bytes or more; from its size at most {limit:,}")
