"""Tables that were right: cells, types, columns, rows and bytes of another kind."""

import csv
import datetime
import decimal
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from damage import damaged
from hypothesis import strategies as st

Columns = list[tuple[str, list[Any]]]

CELLS: tuple[Any, ...] = (
    *(None, float("nan"), float("inf"), float("-inf"), 0, -1, 1e308, 5e-324, 2**63, 10**30, True),
    *("", " ", "NaN", "None", "inf", "1e999", "0x10", "1_000", "true", "ß", "💥", "\u202e", "\0"),
    *("\ud800", "x" * 5000, "'", '"', "\n", "A|", "|", "A|A", "A|B|A", "A\0", "NULL", b"\xff"),
    *("0000-00-00", "0001-01-01", "9999-12-31", "2262-04-12", "1677-09-20", "2024-02-30"),
    *("20240501", "2024-05-01 00:00", "2024-05-01T00:00:00Z", "2024-05-01T09:30:00-04:00"),
    *("2024-05-01T09:30:00+99:99", "2024-05-01T24:00:00Z", "2024-05-01T09:30:60Z", "2024-W20-1"),
    *("+292277026596-01-01", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "10:00:00Z"),
    *("2024-03-10T02:30:00-05:00", "2024-05-01T09:30:00.123456789123Z", "1-1-1T:+00:00"),
    *([], [1], {}, {"a": 1}, [["a"]], decimal.Decimal("1.5"), datetime.date(2024, 5, 1)),
    *(datetime.datetime(2024, 5, 1), datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)),
    *(datetime.time(1), datetime.timedelta(1)),
)
_NAMES = (
    *("", " ", "symbol", "date", "event", "id", "sound", "author", "item", "session", "ret"),
    *("sector", "level_0", "index", "__index_level_0__", "0", "\0", "ü", "text", "open.1"),
)
_TYPES = (
    *(pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.bool_(), pa.null(), pa.string()),
    *(pa.large_string(), pa.binary(), pa.date32(), pa.date64(), pa.decimal128(38, 2)),
    *(pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "Asia/Tokyo")),
    *(
        pa.timestamp("ms", "UTC"),
        pa.timestamp("ns", "+99:99"),
        pa.timestamp("s", "no/where"),
        pa.time64("ns"),
    ),
    *(pa.duration("ns"), pa.list_(pa.int8()), pa.struct([("a", pa.string())])),
    *(pa.map_(pa.string(), pa.int8()), pa.dictionary(pa.int8(), pa.string()), pa.binary(3)),
    *(pa.dictionary(pa.int32(), pa.float64()), pa.string_view()),
)
# What a file says of itself for pandas, which rebuilds an index and types from it.
_PANDAS = (
    *("", "{", "[]", "null", "{}", '{"index_columns": 5}', '{"index_columns": ["symbol"]}'),
    '{"index_columns": ["gone"], "columns": [], "column_indexes": []}',
    '{"index_columns": [{"kind": "range", "start": 0, "stop": 9000000000, "step": 1, "name": 0}], '
    '"columns": [], "column_indexes": []}',
    '{"index_columns": ["date"], "column_indexes": [{"name": "date", "field_name": "date", '
    '"pandas_type": "int64", "numpy_type": "int64", "metadata": null}], "columns": [{"name": 5, '
    '"field_name": "symbol", "pandas_type": "datetimetz", "numpy_type": "O", "metadata": '
    '{"timezone": "no/where"}}]}',
)
_LINES = (
    *("5", "null", "[]", '"x"', "{", "[{}]", "NaN", "{}", '{"symbol": 5', "\ufeff{}"),
    *("[" * 3000, '{"a":' * 3000, "9" * 5000, '{"symbol": ' + "9" * 400 + "}"),
)

_plain = st.text(max_size=8) | st.integers() | st.floats() | st.binary(max_size=4)
cells = st.sampled_from(CELLS) | _plain


@st.composite
def tables(
    draw: Callable,
    rows: Sequence[dict[str, Any]],
    suffixes: Sequence[str],
    special: st.SearchStrategy[Any] = cells,
) -> tuple[str, bytes]:
    """Suffix and content of a file that holds ``rows`` after some edits, then perhaps damaged.

    Args:
      draw: given by hypothesis.
      rows: of a table that a reader takes.
      suffixes: to choose from: .csv, .jsonl, .parquet.
      special: cells to put in.
    """
    table = [(name, [row[name] for row in rows]) for name in rows[0]]
    for _ in range(draw(st.integers(0, 4))):
        table = _edited(draw, table, special)
    suffix = draw(st.sampled_from(suffixes))
    if suffix == ".parquet":
        content = _parquet(draw, table)
    else:
        content = packed(table, suffix)
        if suffix == ".jsonl" and draw(st.integers(0, 5)) == 0:
            content += draw(st.sampled_from(_LINES)).encode("utf-8", "surrogatepass") + b"\n"
    return suffix, draw(damaged([content])) if draw(st.integers(0, 3)) == 0 else content


def _edited(draw: Callable, table: Columns, special: st.SearchStrategy[Any]) -> Columns:
    table = [(name, list(column)) for name, column in table]
    count = len(table[0][1]) if table else 0
    how = draw(st.sampled_from(["cell"] * 6 + ["column", "name", "add", "drop", "rows"]))
    if how == "add":
        table.append((draw(st.sampled_from(_NAMES) | st.text(max_size=5)), [draw(special)] * count))
    elif table and how == "drop":
        table.pop(draw(st.integers(0, len(table) - 1)))
    elif table and how == "rows":
        order = draw(st.lists(st.integers(0, max(count - 1, 0)), max_size=count + 2))
        table = [(name, [column[i] for i in order if i < count]) for name, column in table]
    elif table:
        at = draw(st.integers(0, len(table) - 1))
        name, column = table[at]
        if how == "name":
            name = draw(st.sampled_from(_NAMES) | st.text(max_size=5))
        elif how == "column":
            column[:] = [draw(special)] * count
        elif count:
            column[draw(st.integers(0, count - 1))] = draw(special)
        table[at] = (name, column)
    return table


def packed(table: Columns, suffix: str) -> bytes:
    """A table as CSV or JSON lines."""
    rows = list(zip(*(column for _, column in table), strict=True))
    names = [name for name, _ in table]
    if suffix == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([names, *(["" if c is None else c for c in row] for row in rows)])
        return text.getvalue().encode("utf-8", "surrogatepass")
    lines = (json.dumps(dict(zip(names, row, strict=True)), default=str) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def _parquet(draw: Callable, table: Columns) -> bytes:
    arrays = [_array(cells) for _, cells in table]
    if arrays and draw(st.booleans()):
        at, kind = draw(st.integers(0, len(arrays) - 1)), draw(st.sampled_from(_TYPES))
        try:
            arrays[at] = arrays[at].cast(kind, safe=False)
        except pa.ArrowException:
            arrays[at] = pa.nulls(len(arrays[at]), kind)
    names = [name.encode("utf-8", "replace").decode() for name, _ in table]
    out = pa.Table.from_arrays(arrays, names)
    if draw(st.integers(0, 4)) == 0:
        out = out.replace_schema_metadata({"pandas": draw(st.sampled_from(_PANDAS))})
    raw = io.BytesIO()
    try:
        pq.write_table(out, raw)
    except pa.ArrowException:  # a type that the format has not
        raw = io.BytesIO()
        plain = [pa.array([str(c) for c in a.to_pylist()], pa.string()) for a in arrays]
        pq.write_table(pa.Table.from_arrays(plain, names), raw)
    return raw.getvalue()


def _array(column: list[Any]) -> pa.Array:
    try:
        return pa.array(column)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError):
        shown = (None if c is None else str(c).encode("utf-8", "replace").decode() for c in column)
        return pa.array(list(shown), pa.string())
