"""Checks raw tables; a violation is one message with file, row and remedy."""

import datetime
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fusionjax.data import calendar as calendars
from fusionjax.data import tables
from fusionjax.errors import InputError

BARS = ("symbol", "date", "open", "high", "low", "close", "adj_close", "volume")
DOCUMENTS = ("symbol", "event_time", "available_time", "author", "text")
_SLACK = 1.001  # printed prices are rounded
_PRICES = ["open", "high", "low", "close", "adj_close"]
# Prices, volumes and channels are stored as float32, whose range is little wider.
_LEAST, _MOST = 1e-30, 1e30
_FIRST, _LAST = pd.Timestamp("1800-01-01"), pd.Timestamp("2199-12-31")  # range of the calendars
RESERVED = frozenset({"session", "decision_time", "subset"})  # columns that join.place adds to bars
_NAME = 1000  # characters of a symbol, an author, ...; an array of names is as wide as the longest


def read_table(path: Path) -> pd.DataFrame:
    """Reads a parquet, CSV or JSON-lines file.

    Raises:
      InputError: the file is missing, damaged or not of the type that its suffix says.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such folder; set config.data.root to the raw data")
    if not path.exists():
        found = ", ".join(sorted(p.name for p in path.parent.iterdir())[:8]) or "nothing"
        raise InputError(f"{path}: missing; the folder holds {found}")
    if not path.is_file():  # reading a pipe would block
        raise InputError(f"{path}: is not a regular file; put the table itself there")
    try:
        return tables.read(path)
    except Exception as e:  # a damaged file may raise an error of any class
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise InputError(
            f"{path}: cannot be read as {path.suffix[1:]} ({reason}); it may be "
            "truncated: copy it again"
        ) from e


def require_columns(table: pd.DataFrame, columns: tuple[str, ...], where: object) -> None:
    """Raises InputError naming the columns that ``table`` lacks."""
    missing = [c for c in columns if c not in table]
    if missing:
        raise InputError(
            f"{where}: lacks column {', '.join(missing)}; it has "
            f"{', '.join(map(str, table.columns))}"
        )


def check_bars(bars: pd.DataFrame, where: object) -> pd.DataFrame:
    """Validates daily bars and returns them with ``date`` as datetime64, sorted by symbol and date.

    Within a symbol dates must rise strictly: a file out of order is usually the result of a bad
    merge.

    Args:
      bars: columns ``BARS``; prices in currency, volume in shares.
      where: file name for messages.

    Raises:
      InputError: naming the row (0-based, header not counted) and what was expected.
    """
    require_columns(bars, BARS, where)
    if bars.empty:
        raise InputError(f"{where}: holds no rows; expected one row a symbol and session")
    bars = bars.reset_index(drop=True)
    is_number = bars["date"].map(lambda cell: isinstance(cell, Number)) & bars["date"].notna()
    _refuse(bars, is_number, where, "date is a number; write YYYY-MM-DD")
    try:
        dates = _times(bars, "date", bars["date"], where, format="ISO8601").astype("datetime64[s]")
    except (ValueError, TypeError, OverflowError) as e:
        reason = str(e).splitlines()[0]
        raise InputError(f"{where}: a date is not a plain YYYY-MM-DD ({reason})") from e
    bars = bars.assign(date=dates)
    _refuse(bars, dates.isna(), where, "date is missing; drop the row or repair it")
    _refuse(bars, (dates < _FIRST) | (dates > _LAST), where, "expected a day from 1800 to 2199")
    bars = bars.assign(symbol=names(bars, "symbol", where))
    _refuse(bars, dates.dt.normalize() != dates, where, "date has a time of day; write YYYY-MM-DD")
    for column in [*_PRICES, "volume"]:
        if not pd.api.types.is_numeric_dtype(bars[column]):
            raise InputError(
                f"{where}: column {column} holds {bars[column].dtype}; expected numbers"
            )
        values = bars[column].to_numpy(float)
        least = 0 if column == "volume" else _LEAST
        _refuse(
            bars,
            ~((values >= least) & (values <= _MOST)),
            where,
            f"{column} must be a finite number {'of at least' if column == 'volume' else 'above'} "
            "zero; drop the row or repair it",
        )
    bars = bars.astype(dict.fromkeys([*_PRICES, "volume"], float))
    both = bars[["open", "close"]]
    _refuse(
        bars,
        (bars["low"] > both.min(axis=1) * _SLACK) | (bars["high"] * _SLACK < both.max(axis=1)),
        where,
        "open and close must lie between low and high",
    )
    _refuse(
        bars,
        bars.duplicated(["symbol", "date"]),
        where,
        "this symbol and date appeared before; keep one",
    )
    _refuse(
        bars,
        bars.groupby("symbol")["date"].diff() < pd.Timedelta(0),
        where,
        "dates must rise within a symbol; sort the file",
    )
    return bars.sort_values(["symbol", "date"], ignore_index=True)


def check_documents(documents: pd.DataFrame, now: pd.Timestamp, where: object) -> pd.DataFrame:
    """Validates texts: both times present, available neither before the event nor after now.

    Args:
      documents: columns ``DOCUMENTS``; both times are UTC timestamps.
      now: time of the check (UTC).
      where: file name for messages.

    Raises:
      InputError: naming the row and what was expected.
    """
    require_columns(documents, DOCUMENTS, where)
    documents = documents.reset_index(drop=True)
    _refuse(documents, ~_is_text(documents["text"]), where, "text must be text")
    documents = documents.assign(symbol=names(documents, "symbol", where))
    for column in ("event_time", "available_time"):
        if not isinstance(documents[column].dtype, pd.DatetimeTZDtype):
            raise InputError(
                f"{where}: {column} holds {documents[column].dtype}; expected "
                "timestamps with a time zone"
            )
        _refuse(
            documents,
            documents[column].isna(),
            where,
            f"{column} is missing; an undated text cannot be placed in time, drop it",
        )
    _refuse(
        documents,
        documents["available_time"] > now,
        where,
        f"available_time is in the future (now {now:%Y-%m-%d %H:%M} UTC); check its zone",
    )
    _refuse(
        documents,
        documents["available_time"] < documents["event_time"],
        where,
        "available before it happened; swap or repair the times",
    )
    return documents


def check_items(items: pd.DataFrame, where: object) -> None:
    """Validates items as ``check_documents`` does, as of now; author and text may be missing."""
    blank = {c: "" for c in ("author", "text") if c not in items}
    check_documents(items.assign(**blank), pd.Timestamp.now(tz="UTC"), where)


def flags(table: pd.DataFrame, column: str, where: Path) -> np.ndarray:
    """A column of booleans; an empty cell is false.

    Raises:
      InputError: naming the first row that holds something else.
    """
    text = table[column].map(lambda cell: str(cell).lower()).mask(table[column].isna(), "")
    _refuse(table, ~text.isin(["true", "false", ""]), where, f"{column} must be true or false")
    return (text == "true").to_numpy()


def names(table: pd.DataFrame, column: str, where: object) -> pd.Series:
    """A column of names: texts of at most 1,000 characters.

    Raises:
      InputError: naming the first row that holds something else.
    """
    cells = table[column]
    _refuse(table, ~_is_text(cells), where, f"{column} must be text")
    too_long = np.fromiter(map(len, cells), int, len(cells)) > _NAME
    _refuse(table, too_long, where, f"{column} has more than {_NAME:,} characters")
    return cells.astype(str)  # an empty column may have any type


def labels(table: pd.DataFrame, column: str, where: object) -> pd.Series:
    """A column of names or numbers, as names; an empty cell becomes an empty text.

    Raises:
      InputError: naming the first row that holds something else.
    """
    cells = table[column].astype(object)
    cells = cells.mask(cells.isna(), "")
    is_number = cells.map(lambda cell: isinstance(cell, Number)).astype(bool)
    text = cells.mask(is_number, cells[is_number].map(str))
    return names(table.assign(**{column: text}), column, where)


def check_ids(items: pd.DataFrame, where: object) -> None:
    """Raises InputError naming the first row without an ``id``, or whose id another row has."""
    _refuse(items, items["id"].isna(), where, "id is missing; fill all or drop the column")
    repeated = labels(items, "id", where).duplicated()
    _refuse(items, repeated, where, "this id appeared before; ids must differ")


def stamped(
    table: pd.DataFrame, where: Path, calendar: str, exchanges: dict[str, str] | None = None
) -> pd.DataFrame:
    """The table with ``event_time`` and ``available_time`` in UTC, checked as texts are.

    Accepts timestamps with a zone (Parquet), ISO 8601 text with an offset, and a date alone, which
    means the end of that day in the exchange's zone; the latest, where an item has several.

    Args:
      table: items; symbols are names, several joined by ``|``.
      where: file name for messages.
      calendar: exchange_calendars code of symbols that are not in ``exchanges``.
      exchanges: the codes of others.

    Raises:
      InputError: naming the row: a time without a zone, none at all, one in the future.
    """
    table = table.reset_index(drop=True)
    codes = {calendar: np.ones(len(table), bool)}
    if exchanges:
        at, distinct = pd.factorize(table["symbol"])
        of = [{exchanges.get(s, calendar) for s in names.split("|")} for names in distinct]
        codes = {code: np.array([code in c for c in of])[at] for code in set().union(*of)}
    zones = [(calendars.zone(code), rows) for code, rows in codes.items()]
    for column in ("event_time", "available_time"):
        if isinstance(table[column].dtype, pd.DatetimeTZDtype):
            table[column] = table[column].dt.tz_convert("UTC")
            continue
        missing = table[column].isna()
        _refuse(table, missing, where, f"{column} is missing; an undated item has no place in time")
        try:
            text = table[column].astype(str)
        except ValueError as e:  # bytes that are not text
            raise InputError(f"{where}: {column}: {e}; expected ISO 8601") from e
        is_date = text.str.fullmatch(r"\d{4}-\d{2}-\d{2}")
        is_zoned = text.str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$") & text.str.contains(":")
        _refuse(
            table,
            ~is_date & ~is_zoned,
            where,
            f"{column} has no time zone; write an offset, as in 2024-05-01T09:30:00-04:00, or a "
            "date alone",
        )
        try:
            day = _times(table, column, text.where(is_date), where, format="%Y-%m-%d")
            instant = _times(table, column, text.where(is_zoned), where, format="ISO8601", utc=True)
        except ValueError as e:
            raise InputError(f"{where}: {column}: {e}; expected ISO 8601") from e
        out_of_range = (day < _FIRST) | (day > _LAST)
        _refuse(table, out_of_range, where, f"{column}: expected a day from 1800 to 2199")
        table[column] = instant.where(is_zoned, _day_end(day, zones))
    check_items(table, where)
    return table


def _day_end(day: pd.Series, zones: list[tuple[datetime.tzinfo, np.ndarray]]) -> pd.Series:
    """The latest end of each day, in UTC, over the zones that its row has."""
    ends = pd.Series(pd.NaT, day.index, dtype="datetime64[ns, UTC]")
    for zone, rows in zones:
        # Where clocks change at midnight: the first moment of the next day that exists, or the
        # later one of two.
        local = (day + pd.Timedelta(days=1)).dt.tz_localize(
            zone, ambiguous=False, nonexistent="shift_forward"
        )
        end = local.dt.tz_convert("UTC")
        ends = ends.mask(rows & ~(ends >= end), end)
    return ends


def numbers(table: pd.DataFrame, column: str, where: Path) -> pd.Series:
    """A numeric column; an empty cell is NaN.

    Raises:
      InputError: naming the first row that holds something else.
    """
    cells = table[column]
    if pd.api.types.is_numeric_dtype(cells):
        values = cells.astype(float)
    else:  # not times, which convert to numbers too
        values = pd.to_numeric(cells.where(_is_text(cells)), errors="coerce").astype(float)
    wrong = ~(values.abs() <= _MOST) & cells.notna()
    _refuse(table, wrong, where, f"{column} is not a number, or infinite; empty it")
    return values


def inside(where: Path, row: int, cell: object) -> Path:
    """Path of a file that a manifest names; it must lie in the manifest's folder.

    Raises:
      InputError: naming the row.
    """
    home = where.parent.resolve()
    try:
        path = (home / cell).resolve()  # type: ignore[operator]
        if path.is_relative_to(home):
            str(path).encode()
            path.is_file()  # fails if the name is too long for the file system
    except (TypeError, ValueError, OSError, RuntimeError) as e:
        raise InputError(f"{where}: row {row}: path {cell!r} is not a file name ({e})") from e
    if not path.is_relative_to(home):
        raise InputError(f"{where}: row {row}: path {cell!r} leaves {home}; name a file inside it")
    return path


def lies_in(folder: Path, path: Path) -> bool:
    """Whether ``path``, its links followed, is in ``folder``, which may be a link itself."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link to itself
        return False


def _times(
    table: pd.DataFrame, column: str, cells: pd.Series, where: object, **how: Any
) -> pd.Series:
    """``pd.to_datetime``; pandas 2 supports the years 1678 to 2261 only, others are refused."""
    try:
        return pd.to_datetime(cells, **how)
    except pd.errors.OutOfBoundsDatetime:
        times = pd.to_datetime(cells, errors="coerce", **how)
        out_of_range = times.isna() & cells.notna()
        _refuse(table, out_of_range, where, f"{column}: expected a day from 1800 to 2199")
        return times


def _is_text(column: pd.Series) -> np.ndarray:
    return column.map(_is_unicode).to_numpy(bool)


def _is_unicode(cell: object) -> bool:
    try:
        return isinstance(cell, str) and cell.encode() is not None
    except UnicodeEncodeError:  # an unpaired surrogate, which JSON allows
        return False


def _refuse(table: pd.DataFrame, bad: "pd.Series | np.ndarray", where: object, why: str) -> None:
    rows = np.flatnonzero(np.asarray(bad))
    if len(rows):
        row = table.iloc[rows[0]].to_dict()
        cells = ", ".join(f"{k}={v}" for k, v in row.items() if k != "text")
        raise InputError(f"{where}: row {rows[0]} ({cells}): {why}. {len(rows)} such rows")
