"""Checks raw tables; a violation is one message with file, row and remedy."""

import datetime
from numbers import Number
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Shaped

from fusionjax.data import calendar as calendars
from fusionjax.data import tables, times
from fusionjax.errors import InputError

BARS = ("symbol", "date", "open", "high", "low", "close", "adj_close", "volume")
DOCUMENTS = ("symbol", "event_time", "available_time", "author", "text")
_SLACK = 1.001  # printed prices are rounded
_PRICES = ["open", "high", "low", "close", "adj_close"]
# Prices, volumes and channels are stored as float32, whose range is little wider.
_LEAST, _MOST = 1e-30, 1e30
RESERVED = frozenset({"session", "decision_time", "subset"})  # columns that join.place adds to bars
_LONG_WEEKEND = 4  # days from one session to the next, as a rule
_NAME = 1000  # characters of a symbol, an author, ...; an array of names is as wide as the longest


def read_table(path: Path) -> pd.DataFrame:
    """Reads a parquet, CSV or JSON-lines file.

    Raises:
      InputError: the file is missing, damaged or not of the type that its suffix says.
    """
    require_folder(path.parent)
    if not path.exists():
        raise InputError(f"{path}: missing; the folder holds {listing(path.parent)}")
    if not path.is_file():  # reading a pipe would block
        raise InputError(f"{path}: is not a regular file; put the table itself there")
    with tables.reading(path):
        return tables.read(path)


def require_folder(folder: Path) -> None:
    """Raises InputError unless there is such a folder of raw data."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; set config.data.root to the raw data")


def listing(folder: Path) -> str:
    """The first names in a folder, for messages."""
    names = sorted(p.name for p in folder.iterdir())
    return ", ".join(names[:8]) + " …" * (len(names) > 8) or "nothing"


def require_columns(table: pd.DataFrame, columns: tuple[str, ...], where: object) -> None:
    """Raises InputError naming the columns that ``table`` lacks."""
    missing = [c for c in columns if c not in table]
    if missing:
        raise InputError(
            f"{where}: lacks column {', '.join(missing)}; it has "
            f"{', '.join(map(str, table.columns))}"
        )


def check_bars(
    bars: pd.DataFrame,
    where: object,
    calendar: str = "XNYS",
    exchanges: dict[str, str] | None = None,
    changes: dict[str, calendars.Changes] | None = None,
) -> pd.DataFrame:
    """Validates daily bars and returns them with ``date`` as datetime64, sorted by symbol and date.

    A date is a day alone, or its midnight: without a zone, in that of the exchange, in UTC, or as
    written with any offset. Within a symbol dates must rise strictly: a file out of order is
    usually the result of a bad merge.

    Args:
      bars: columns ``BARS``, prices in currency, volume in shares; the index has the rows' numbers
        in the file.
      where: file name for messages.
      calendar: of the exchange; each bar is of a session of it that has closed.
      exchanges: calendars of symbols that trade elsewhere.
      changes: by calendar: days on which it is wrong.

    Raises:
      InputError: naming the row (0-based, header not counted) and what was expected.
    """
    if "close" in bars and "adj_close" not in bars:
        raise InputError(
            f"{where}: lacks column adj_close, the close adjusted for splits and dividends; if "
            "close is adjusted already, repeat it as adj_close"
        )
    require_columns(bars, BARS, where)
    if bars.empty:
        raise InputError(f"{where}: holds no rows; expected one row a symbol and session")
    bars = bars.assign(symbol=names(bars, "symbol", where))
    codes = bars["symbol"].map(exchanges or {}).fillna(calendar).to_numpy(str)
    bars = bars.assign(date=_days(bars, where, codes))
    for column in [*_PRICES, "volume"]:
        at_least, least = ("of at least", 0.0) if column == "volume" else ("above", _LEAST)
        why = f"{column} must be a finite number {at_least} zero; drop the row or repair it"
        values = _floats(bars[column])
        refuse(bars, ~((values >= least) & (values <= _MOST)), where, why)
        bars[column] = values
    both = bars[["open", "close"]]
    wrong = (bars["low"] > both.min(axis=1) * _SLACK) | (bars["high"] * _SLACK < both.max(axis=1))
    refuse(bars, wrong, where, "open and close must lie between low and high")
    repeated = bars.duplicated(["symbol", "date"])
    refuse(bars, repeated, where, "this symbol and date appeared before; keep one")
    falling = bars.groupby("symbol")["date"].diff() < pd.Timedelta(0)
    refuse(bars, falling, where, "dates must rise within a symbol; sort the file")
    _check_sessions(bars, where, codes, changes or {})
    return bars.sort_values(["symbol", "date"], ignore_index=True)


def without_prices(bars: pd.DataFrame) -> Bool[np.ndarray, "R"]:
    """Where a row has none of its prices, as downloads have on holidays and days of no trade."""
    prices = [c for c in _PRICES if c in bars]
    return bars[prices].isna().all(axis=1).to_numpy(bool) & bool(prices)


def _check_sessions(
    bars: pd.DataFrame,
    where: object,
    codes: Shaped[np.ndarray, "R"],
    changes: dict[str, calendars.Changes],
) -> None:
    """Refuses a bar on a day that is to come, without a session, or whose session is not over."""
    now, session = _now(), bars["date"].to_numpy().astype("datetime64[D]")
    clock = f"now {now:%Y-%m-%d %H:%M} UTC"
    last = (now + pd.Timedelta(hours=14)).tz_localize(None)  # it is a later day nowhere
    refuse(bars, bars["date"] > last, where, f"this day is in the future ({clock}); drop the row")
    closes = np.full(len(bars), np.datetime64("NaT", "s"))
    for code in np.unique(codes).tolist():
        rows = codes == code
        told = changes.get(calendars.name(code))
        closes[rows] = calendars.close_times(session[rows], code, told)
        closed = rows & np.isnat(closes)
        apart = np.median(np.diff(np.unique(session[rows])).astype(int)) if closed.any() else 1
        spaced = f"the bars lie {apart:.0f} days apart, but daily ones are needed; "
        why = f"a bar on a day when {code} was closed; {spaced if apart > _LONG_WEEKEND else ''}"
        why += "check the dates or config.data.calendar, or list the day in sessions.csv"
        refuse(bars, closed, where, why)
    why = f"this session has not closed yet ({clock}); leave the row out until it has"
    refuse(bars, closes > now.tz_localize(None).to_datetime64(), where, why)


def _days(
    bars: pd.DataFrame, where: object, codes: Shaped[np.ndarray, "R"]
) -> Shaped[np.ndarray, "R"]:
    """The column ``date`` as datetime64[s], a midnight in the zone of the row's exchange."""
    cells = bars["date"]
    is_number = cells.map(lambda cell: isinstance(cell, Number)) & cells.notna()
    refuse(bars, is_number, where, "date is a number; write YYYY-MM-DD")
    refuse(bars, cells.isna(), where, "date is missing; drop the row or repair it")
    days, timed = np.full(len(bars), np.datetime64("NaT", "s")), np.zeros(len(bars), bool)
    for code in np.unique(codes).tolist():
        rows = codes == code
        try:
            own, timed[rows] = times.days(cells[rows], calendars.zone(code))
        except ValueError as e:
            raise InputError(f"{where}: date holds {e}; expected YYYY-MM-DD") from e
        days[rows] = own.to_numpy().astype("datetime64[s]")
    why = (
        "date has a time of day, but a bar is a whole session: write YYYY-MM-DD, and what is known "
        "within the day as further columns, which become channels"
    )
    refuse(bars, np.isnat(days) & timed, where, why)
    in_range = (days >= calendars.FIRST) & (days <= calendars.LAST)
    refuse(bars, ~in_range, where, "date is not a day from 1800 to 2199, written YYYY-MM-DD")
    return days


def refuse_future(
    table: pd.DataFrame, column: str, where: object, now: pd.Timestamp | None = None
) -> None:
    """Raises InputError naming the first row whose time (UTC) is after ``now``."""
    now = _now() if now is None else now
    why = f"{column} is in the future (now {now:%Y-%m-%d %H:%M} UTC); check its zone"
    refuse(table, table[column] > now, where, why)


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
    refuse(documents, ~_is_text(documents["text"]), where, "text must be text")
    documents = documents.assign(symbol=names(documents, "symbol", where))
    for column in ("event_time", "available_time"):
        if not isinstance(documents[column].dtype, pd.DatetimeTZDtype):
            raise InputError(
                f"{where}: {column} holds {documents[column].dtype}; expected "
                "timestamps with a time zone"
            )
        refuse(
            documents,
            documents[column].isna(),
            where,
            f"{column} is missing; an undated text cannot be placed in time, drop it",
        )
    refuse_future(documents, "available_time", where, now)
    refuse(
        documents,
        documents["available_time"] < documents["event_time"],
        where,
        "available before it happened; swap or repair the times",
    )
    return documents


def check_items(items: pd.DataFrame, where: object) -> None:
    """Validates items as ``check_documents`` does, as of now; author and text may be missing."""
    blank = {c: "" for c in ("author", "text") if c not in items}
    check_documents(items.assign(**blank), _now(), where)


def flags(table: pd.DataFrame, column: str, where: Path) -> np.ndarray:
    """A column of booleans; an empty cell is false.

    Raises:
      InputError: naming the first row that holds something else.
    """
    text = table[column].map(lambda cell: str(cell).lower()).mask(table[column].isna(), "")
    yes, no = ["true", "1", "1.0"], ["false", "0", "0.0", ""]  # with gaps, booleans become floats
    refuse(table, ~text.isin([*yes, *no]), where, f"{column} must be true or false")
    return text.isin(yes).to_numpy()


def names(table: pd.DataFrame, column: str, where: object) -> pd.Series:
    """A column of names: texts of at most 1,000 characters, in Unicode's composed form (NFC).

    Raises:
      InputError: naming the first row that holds something else.
    """
    cells = table[column]
    why = f"{column} must be text; a number loses its leading zeros"
    refuse(table, ~_is_text(cells), where, why)
    too_long = np.fromiter(map(len, cells), int, len(cells)) > _NAME
    refuse(table, too_long, where, f"{column} has more than {_NAME:,} characters")
    return cells.astype(str).str.normalize("NFC")  # an empty column may have any type


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
    refuse(items, items["id"].isna(), where, "id is missing; fill all or drop the column")
    repeated = labels(items, "id", where).duplicated()
    refuse(items, repeated, where, "this id appeared before; ids must differ")


def stamped(
    table: pd.DataFrame, where: Path, calendar: str, exchanges: dict[str, str] | None = None
) -> pd.DataFrame:
    """The table with ``event_time`` and ``available_time`` in UTC, checked as texts are.

    Accepts timestamps with a zone (Parquet), ISO 8601 text with an offset, Z, UTC or GMT, and a
    date alone, which means the end of that day in the exchange's zone; the latest, where an item
    has several.

    Args:
      table: items; symbols are names, several joined by ``|``.
      where: file name for messages.
      calendar: exchange_calendars code of symbols that are not in ``exchanges``.
      exchanges: the codes of others.

    Raises:
      InputError: naming the row: a time without a zone, none at all, one in the future.
    """
    table = table.reset_index(drop=True)
    zones = zones_of(table, calendar, exchanges or {})
    for column in ("event_time", "available_time"):
        table[column] = instants(table, column, where, zones)
    check_items(table, where)
    return table


Zones = list[tuple[datetime.tzinfo, Bool[np.ndarray, "N"]]]  # of exchanges, and the rows of each


def zones_of(table: pd.DataFrame, calendar: str, exchanges: dict[str, str]) -> Zones:
    """The zones of the exchanges of a table's symbols. Arguments as of ``stamped``."""
    codes = {calendar: np.ones(len(table), bool)}
    if exchanges and len(table):
        at, distinct = pd.factorize(table["symbol"])
        of = [{exchanges.get(s, calendar) for s in names.split("|")} for names in distinct]
        codes = {code: np.array([code in c for c in of])[at] for code in set().union(*of)}
    return [(calendars.zone(code), rows) for code, rows in codes.items()]


def instants(
    table: pd.DataFrame, column: str, where: Path, zones: Zones, *, begins: bool = False
) -> pd.Series:
    """A column of times in UTC, which takes what ``stamped`` takes.

    Args:
      table: with a row index from 0.
      column: of times.
      where: file name for messages.
      zones: of its rows.
      begins: whether a date alone means where that day begins.

    Raises:
      InputError: naming the row: a time without a zone, or none at all.
    """
    missing = table[column].isna()
    refuse(table, missing, where, f"{column} is missing; an undated item has no place in time")
    if isinstance(table[column].dtype, pd.DatetimeTZDtype):
        return table[column].dt.tz_convert("UTC")
    found: pd.Series | None = None
    form = "2024-05-01T09:30:00-04:00, or a date alone"
    for zone, rows in zones:
        try:
            stamps, naive, other = times.stamps(table[column], zone, begins=begins)
        except ValueError as e:
            raise InputError(f"{where}: {column}: {e}; expected ISO 8601") from e
        why = f"{column} has no time zone; write an offset, as in {form}"
        refuse(table, naive, where, why)
        refuse(table, other, where, f"{column} is not ISO 8601; write it as in {form}")
        if found is None:
            found = stamps.where(rows)
        else:
            found = found.mask(rows & ~(found >= stamps).to_numpy(), stamps)
    assert found is not None
    first, last = calendars.FIRST.tz_localize("UTC"), calendars.LAST.tz_localize("UTC")
    in_range = (found >= first) & (found <= last)
    why = f"{column}: expected a day from 1800 to 2199 and a time of it, from 00:00:00 to 23:59:59"
    refuse(table, ~in_range, where, why)
    return found


def numbers(table: pd.DataFrame, column: str, where: Path) -> pd.Series:
    """A numeric column; an empty cell is NaN.

    Raises:
      InputError: naming the first row that holds something else.
    """
    values = _floats(table[column])
    wrong = ~(values.abs() <= _MOST) & table[column].notna()
    refuse(table, wrong, where, f"{column} is not a number, or infinite; empty it")
    return values


def _floats(cells: pd.Series) -> pd.Series:
    """Numbers, also those written as text; NaN for anything else."""
    if pd.api.types.is_numeric_dtype(cells):
        return cells.astype(float)
    texts = cells.where(_is_text(cells))  # not times, which convert to numbers too
    return pd.to_numeric(texts, errors="coerce").astype(float)


def holds_no_number(cells: pd.Series) -> bool:
    """Whether a column has cells, and none of them is a number."""
    return bool(cells.notna().any() and _floats(cells).isna().all())


def _now() -> pd.Timestamp:
    return pd.Timestamp.now(tz="UTC")


def _is_text(column: pd.Series) -> np.ndarray:
    return column.map(_is_unicode).to_numpy(bool)


def _is_unicode(cell: object) -> bool:
    try:
        return isinstance(cell, str) and cell.encode() is not None
    except UnicodeEncodeError:  # an unpaired surrogate, which JSON allows
        return False


def refuse(table: pd.DataFrame, bad: "pd.Series | np.ndarray", where: object, why: str) -> None:
    """Raises InputError naming the first row of ``table`` that is ``bad``, and their number."""
    rows = np.flatnonzero(np.asarray(bad))
    if len(rows):
        row = table.iloc[rows[0]].to_dict()
        cells = ", ".join(f"{k}={v}" for k, v in row.items() if k != "text")
        raise InputError(
            f"{where}: row {table.index[rows[0]]} ({cells}): {why}. {len(rows)} such rows"
        )
