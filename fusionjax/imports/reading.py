"""Files into tables of cells: CSV with any header, parquet, JSON."""

import ast
import dataclasses
import json
from pathlib import Path

import pandas as pd

from fusionjax.data import schema, tables
from fusionjax.errors import InputError
from fusionjax.imports import layouts
from fusionjax.imports.layouts import plain

_CSV = (".csv", ".txt")
_JSON = (".json", ".jsonl", ".ndjson")
SUFFIXES = (*_CSV, *_JSON, ".parquet")
_LINE = 10_000  # characters of a header, at most
_SERIES = "Time Series (Daily)"  # Alpha Vantage


@dataclasses.dataclass(frozen=True)
class Cells:
    """A file's header and cells.

    Attributes:
      path: of the file.
      header: names as they are written, also twice.
      rows: cells, a column a position of ``header``; texts, but for parquet and JSON.
      two_headers: whether fields and symbols were two header rows, of which ``rows`` are unfolded.
    """

    path: Path
    header: tuple[str, ...]
    rows: pd.DataFrame
    two_headers: bool = False


def files_of(given: list[Path]) -> list[Path]:
    """The files to read: those given, and of a folder those with a table's suffix, sorted.

    Raises:
      InputError: there is none, or a file is of another kind.
    """
    found = []
    for path in given:
        if path.is_dir():
            inside = [p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]
            if not inside:
                raise InputError(
                    f"{path}: no file ends in {', '.join(SUFFIXES)}; it holds "
                    f"{schema.listing(path)}: unpack or export it"
                )
            found += inside
        elif not path.is_file():
            raise InputError(f"{path}: no such file or folder; give what was downloaded")
        elif path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path}: ends in none of {', '.join(SUFFIXES)}; unpack or export it")
        else:
            found.append(path)
    return sorted(set(found))


def read(path: Path) -> Cells:
    """Reads one file.

    Raises:
      InputError: it is damaged, empty, or no table.
    """
    with tables.reading(path):
        if what := tables.foreign(path):
            raise InputError(f"{path}: {what}")
        if path.suffix.lower() in _CSV:
            cells = _csv(path)
        elif path.suffix.lower() in _JSON:
            cells = _json(path)
        else:
            cells = _parquet(path)
    if cells.rows.empty:
        raise InputError(f"{path}: holds no rows; download it again, or leave it out")
    return cells


def _csv(path: Path) -> Cells:
    with path.open(encoding="utf-8-sig", errors="replace") as f:
        first = f.readline(_LINE)
    if "," not in first and any(sign in first for sign in ";\t|"):
        raise InputError(f"{path}: its cells are not separated by commas; save it with commas")
    rows = tables.text_cells(path)
    head = rows.iloc[:3].fillna("").to_numpy().tolist()
    if len(head[0]) == len(layouts.KLINES) and head[0][0].isdigit():
        return Cells(path, layouts.KLINES, rows)
    if len(head) == 3 and plain(head[2][0]) in layouts.BARS["date"] and not any(head[2][1:]):
        return _unfolded(path, head[0], head[1], rows.iloc[3:])
    return Cells(path, tuple(head[0]), rows.iloc[1:].reset_index(drop=True))


def _unfolded(path: Path, first: list[str], second: list[str], rows: pd.DataFrame) -> Cells:
    """Rows by symbol and day of a table with a column a field and symbol, named by two rows."""
    known = {name for names in layouts.BARS.values() for name in names}
    is_fields = sum(plain(c) in known for c in first[1:]) > sum(
        plain(c) in known for c in second[1:]
    )
    fields, symbols = (first, second) if is_fields else (second, first)
    header = ("date", "symbol", *dict.fromkeys(fields[1:]))
    parts = []
    for symbol in dict.fromkeys(symbols[1:]):
        at = {fields[j]: j for j in range(1, len(fields)) if symbols[j] == symbol}
        own = rows[[*at.values()]]
        held = own.notna().any(axis=1)  # a symbol has a row for every day of any of them
        part = own[held].set_axis([*at], axis=1).assign(date=rows.iloc[:, 0], symbol=symbol)
        parts.append(part.reindex(columns=[*header]))
    table = pd.concat(parts, ignore_index=True)
    return Cells(path, header, table.set_axis(range(len(header)), axis=1), two_headers=True)


def _parquet(path: Path) -> Cells:
    table = tables.parquet(path).to_pandas()
    # What pandas makes of two header rows: "('Close', 'AAPL')".
    pairs = {c: ast.literal_eval(c) for c in table if str(c).startswith("('")}
    if pairs:
        dates = [c for c in table if c not in pairs]
        if len(dates) != 1 or any(len(pair) != 2 for pair in pairs.values()):
            raise InputError(f"{path}: expected one column of dates beside fields by symbol")
        rows = table[[*dates, *pairs]].set_axis(range(1 + len(pairs)), axis=1)
        first, second = (["", *(str(p[i]) for p in pairs.values())] for i in (0, 1))
        return _unfolded(path, first, second, rows)
    return Cells(path, tuple(map(str, table)), table.set_axis(range(table.shape[1]), axis=1))


def _json(path: Path) -> Cells:
    rows = _records(path)
    tables.check_size(path, 8 * len(rows) * len(set().union(*rows)))  # a cell for every name
    table = pd.DataFrame(rows)
    return Cells(path, tuple(map(str, table)), table.set_axis(range(table.shape[1]), axis=1))


def _records(path: Path) -> list[dict]:
    """The objects of an array, of an object with one array, of lines, or of Alpha Vantage's."""
    if path.suffix.lower() != ".json":
        return tables.lines(path)
    try:
        raw = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (UnicodeDecodeError, RecursionError, json.JSONDecodeError):
        return tables.lines(path)  # as some call them .json; its messages name the line
    if isinstance(raw, dict) and isinstance(days := raw.get(_SERIES), dict):
        symbol = {plain(k): v for k, v in raw.get("Meta Data", {}).items()}.get("symbol")
        named = {} if symbol is None else {"symbol": symbol}
        return [{"date": day, **named, **row} for day, row in days.items()]
    if isinstance(raw, dict):
        lists = [v for v in raw.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        raw = lists[0] if len(lists) == 1 else [raw]
    if not isinstance(raw, list) or not all(isinstance(row, dict) for row in raw):
        raise InputError(
            f"{path}: expected a list of objects, alone or as the one list of an object (results, "
            "articles, news), or an object a line"
        )
    return raw
