"""What raw tables must look like, and the message when they do not."""

import json
from pathlib import Path

import exchange_calendars
import numpy as np
import pandas as pd
import pyarrow

from fusionjax.errors import InputError

BARS = ("symbol", "date", "open", "high", "low", "close", "adj_close", "volume")
DOCUMENTS = ("symbol", "event_time", "available_time", "author", "text")
_SLACK = 1.001  # printed prices are rounded
_PRICES = ["open", "high", "low", "close", "adj_close"]


def read_table(path: Path) -> pd.DataFrame:
    """Reads a parquet, CSV or JSON-lines file.

    Raises:
      InputError: the file is missing, truncated or not what its name says.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such folder; set config.data.root to the raw data")
    if not path.exists():
        found = ", ".join(sorted(p.name for p in path.parent.iterdir())[:8]) or "nothing"
        raise InputError(f"{path}: missing; the folder holds {found}")
    try:
        if path.suffix == ".jsonl":
            with path.open(encoding="utf-8") as lines:  # pandas' own reader would guess at dates
                return pd.DataFrame([json.loads(line) for line in lines if line.strip()])
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (pyarrow.ArrowException, OSError, ValueError, UnicodeDecodeError) as e:
        reason = str(e).splitlines()[0]
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

    Within a symbol the file's dates must rise strictly: a file out of order is more often a bad
    merge than a choice.

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
    try:
        dates = pd.to_datetime(bars["date"], format="ISO8601").astype("datetime64[s]")
    except (ValueError, TypeError) as e:
        raise InputError(f"{where}: a date is not a plain YYYY-MM-DD ({e})") from e
    bars = bars.assign(date=dates)
    _refuse(bars, dates.isna(), where, "a bar needs a date")
    _refuse(bars, ~_is_text(bars["symbol"]), where, "symbol must be text")
    _refuse(bars, dates.dt.normalize() != dates, where, "one bar a session: a time of day is extra")
    for column in [*_PRICES, "volume"]:
        if not pd.api.types.is_numeric_dtype(bars[column]):
            raise InputError(
                f"{where}: column {column} holds {bars[column].dtype}; expected numbers"
            )
        low_is_bad = bars[column] < 0 if column == "volume" else bars[column] <= 0
        _refuse(
            bars,
            ~np.isfinite(bars[column].to_numpy(float)) | low_is_bad,
            where,
            f"{column} must be a finite number {'of at least' if column == 'volume' else 'above'} "
            "zero; drop the row or repair it",
        )
    ends = bars[["open", "close"]]
    _refuse(
        bars,
        (bars["low"] > ends.min(axis=1) * _SLACK) | (bars["high"] * _SLACK < ends.max(axis=1)),
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
    """Validates texts: all are stamped, none available before it happened or after now.

    Args:
      documents: columns ``DOCUMENTS``; both times are UTC timestamps.
      now: time of the check (UTC).
      where: file name for messages.

    Raises:
      InputError: naming the row and what was expected.
    """
    require_columns(documents, DOCUMENTS, where)
    documents = documents.reset_index(drop=True)
    for column in ("symbol", "text"):
        _refuse(documents, ~_is_text(documents[column]), where, f"{column} must be text")
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
    """Validates stamped items as texts are, now; they need no author and no text."""
    blank = {c: "" for c in ("author", "text") if c not in items}
    check_documents(items.assign(**blank), pd.Timestamp.now(tz="UTC"), where)


def flags(table: pd.DataFrame, column: str, where: Path) -> np.ndarray:
    """A column of true and false; an empty cell is false.

    Raises:
      InputError: naming the first row that holds something else.
    """
    text = table[column].map(lambda cell: "" if pd.isna(cell) else str(cell).lower())
    _refuse(table, ~text.isin(["true", "false", ""]), where, f"{column} must be true or false")
    return (text == "true").to_numpy()


def check_ids(items: pd.DataFrame, where: object) -> None:
    """Raises InputError naming the first row without an ``id``, or whose id another row has."""
    _refuse(items, items["id"].isna(), where, "id is missing; fill all or drop the column")
    _refuse(items, items.duplicated("id"), where, "this id appeared before; ids must differ")


def stamped(table: pd.DataFrame, where: Path, calendar: str) -> pd.DataFrame:
    """The table with ``event_time`` and ``available_time`` in UTC, checked as texts are.

    Parquet may hold timestamps with a zone; text is ISO 8601 with an offset, or a date alone, which
    counts as over at the end of that day in the exchange's zone.

    Raises:
      InputError: naming the row: a time without a zone, none at all, one in the future.
    """
    zone = exchange_calendars.get_calendar(calendar).tz
    table = table.reset_index(drop=True)
    for column in ("event_time", "available_time"):
        if isinstance(table[column].dtype, pd.DatetimeTZDtype):
            table[column] = table[column].dt.tz_convert("UTC")
            continue
        missing = table[column].isna()
        _refuse(table, missing, where, f"{column} is missing; an undated item has no place in time")
        text = table[column].astype(str)
        dated = text.str.fullmatch(r"\d{4}-\d{2}-\d{2}")
        zoned = text.str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$") & text.str.contains(":")
        _refuse(
            table,
            ~dated & ~zoned,
            where,
            f"{column} has no time zone; write an offset, as in 2024-05-01T09:30:00-04:00, or a "
            "date alone",
        )
        try:
            day = pd.to_datetime(text.where(dated), format="%Y-%m-%d")
            times = pd.to_datetime(text.where(zoned), format="ISO8601", utc=True)
        except ValueError as e:
            raise InputError(f"{where}: {column}: {e}; expected ISO 8601") from e
        ends = (day + pd.Timedelta(days=1)).dt.tz_localize(zone).dt.tz_convert("UTC")
        table[column] = times.where(zoned, ends)
    check_items(table, where)
    return table


def numbers(table: pd.DataFrame, column: str, where: Path) -> pd.Series:
    """A numeric column; an empty cell is NaN.

    Raises:
      InputError: naming the first row that holds something else.
    """
    values = pd.to_numeric(table[column], errors="coerce")
    _refuse(table, values.isna() & table[column].notna(), where, f"{column} is no number; empty it")
    return values.astype(float)


def inside(where: Path, row: int, cell: object) -> Path:
    """The file that a manifest names, refused unless it lies in the manifest's own folder.

    Raises:
      InputError: naming the row.
    """
    home = where.parent.resolve()
    try:
        path = (home / cell).resolve()  # type: ignore[operator]
    except (TypeError, ValueError, OSError, RuntimeError) as e:
        raise InputError(f"{where}: row {row}: path {cell!r} is no file name ({e})") from e
    if not path.is_relative_to(home):
        raise InputError(f"{where}: row {row}: path {cell!r} leaves {home}; name a file inside it")
    return path


def _is_text(column: pd.Series) -> np.ndarray:
    return column.map(lambda cell: isinstance(cell, str)).to_numpy(bool)


def _refuse(table: pd.DataFrame, bad: "pd.Series | np.ndarray", where: object, why: str) -> None:
    rows = np.flatnonzero(np.asarray(bad))
    if len(rows):
        shown = table.iloc[rows[0]].to_dict()
        cells = ", ".join(f"{k}={v}" for k, v in shown.items() if k != "text")
        raise InputError(f"{where}: row {rows[0]} ({cells}): {why}. {len(rows)} such rows")
