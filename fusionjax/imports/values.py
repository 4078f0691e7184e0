"""Cells as vendors write them into numbers and days."""

import zoneinfo
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from fusionjax.data import times
from fusionjax.errors import InputError

Order = str  # "day-first" or "month-first"

_MISSING = frozenset(("", "-", "--", ".", "na", "n/a", "nan", "null", "none", "<na>"))
# -1,234.5 or $1.2 or 3.4M; also 1e6 and 1. of other programs.
_NUMBER = r"([+-]?)\$?(\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)([KMBTkmbt]?)"
_POWER = {"K": "e3", "M": "e6", "B": "e9", "T": "e12", "": ""}
# 13/01/2024, of which the order is not known, also with Excel's midnight.
_SHORT = r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?: 0?0:00(?::00)?)?"
_YEAR_FIRST = r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})"
_NAMED_MONTHS = ("%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y")
# By their number of digits.
_EPOCHS: dict[int, Literal["s", "ms", "us", "ns"]] = {10: "s", 13: "ms", 16: "us", 19: "ns"}
# In whose midnights dates may be written; the first that fits.
_ZONES = (
    *("UTC", "America/New_York", "Europe/London", "Europe/Berlin", "Europe/Helsinki"),
    *("Asia/Tokyo", "Asia/Hong_Kong", "Asia/Kolkata", "Australia/Sydney", "America/Sao_Paulo"),
)


def numbers(cells: pd.Series, where: Path, name: str) -> pd.Series:
    """Numbers with thousands' commas, a dollar's sign, K, M, B or T; NaN where there is none.

    Raises:
      InputError: naming the first row that holds something else.
    """
    if pd.api.types.is_numeric_dtype(cells):
        return cells.astype(float)
    text = _text(cells)
    missing = text.str.lower().isin(_MISSING)
    parts = text.str.extract(f"^{_NUMBER}$")
    if (bad := parts[1].isna() & ~missing).any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{where}: row {row}: {name} is {text.iloc[row]!r}, no number such as 1,234.5 or 1.2M; "
            f"repair it ({int(bad.sum())} such rows)"
        )
    power = parts[2].str.upper().map(_POWER)
    written = parts[0] + parts[1].str.replace(",", "") + power
    return written.mask(missing, "nan").map(float).astype(float)


def date_order(columns: list[tuple[Path, pd.Series]], given: Order | None) -> Order | None:
    """Whether dates such as 13/01/2024 have the day or the month first; None where there are none.

    Args:
      columns: the dates of each file of one download.
      given: what the user says.

    Raises:
      InputError: the dates do not tell, or contradict each other or what was given.
    """
    seen: dict[Order, tuple[Path, str]] = {}
    unclear: tuple[Path, str] | None = None
    for path, cells in columns:
        text = pd.Series(_text(cells).unique(), dtype=object)
        parts = text.str.extract(f"^{_SHORT}$")
        short = parts[0].notna()
        if not short.any():
            continue
        first, second = (parts[i][short].astype(int) for i in (0, 1))
        unclear = unclear or (path, text[short].iloc[0])
        evidence: list[tuple[Order, pd.Series]] = [
            ("day-first", first > 12),
            ("month-first", second > 12),
        ]
        for order, shows in evidence:
            if shows.any():
                seen.setdefault(order, (path, text[short][shows].iloc[0]))
    if len(seen) == 2:
        (a, day), (b, month) = seen["day-first"], seen["month-first"]
        raise InputError(
            f"{a} has a date with its day first ({day}), {b} one with its month first ({month}); "
            "write all as YYYY-MM-DD"
        )
    for order, (path, date) in seen.items():
        if given not in (None, order):
            raise InputError(f"{path}: {date} is not {given}; drop --dates={given}")
        return order
    if unclear is not None and given is None:
        raise InputError(
            f"{unclear[0]}: {unclear[1]} and all other dates may have the day or the month first; "
            "say which: --dates=day-first or --dates=month-first"
        )
    return given


def days(
    cells: pd.Series, where: Path, name: str, order: Order | None
) -> tuple[pd.Series, str | None]:
    """Days of dates in any form that is not ambiguous.

    Args:
      cells: dates, their midnights, or numbers of seconds (also milli-, micro-) since 1970.
      where: file name for messages.
      name: of the column.
      order: of dates such as 13/01/2024.

    Returns:
      datetime64[s]; and the zone of whose midnights they were, unless they were dates.

    Raises:
      InputError: naming the first row that holds no date, or a time of day.
    """
    plain = stamp_texts(cells, order)
    as_dates, timed = times.days(plain, zoneinfo.ZoneInfo("UTC"))
    zone = None
    for zone in _ZONES if (as_dates.isna().to_numpy() & timed).any() else ():
        as_dates, timed = times.days(plain, zoneinfo.ZoneInfo(zone))
        if as_dates.notna().to_numpy()[timed].all():
            break
    if (bad := as_dates.isna().to_numpy()).any():
        row = int(np.flatnonzero(bad)[0])
        why = (
            "has a time of day, but a bar is a whole session; download daily bars"
            if timed[row]
            else "is no date such as 2024-01-31, 31/01/2024 or Jan 31, 2024; repair it"
        )
        raise InputError(
            f"{where}: row {row}: {name} is {str(cells.iloc[row])!r}, which {why} "
            f"({int(bad.sum())} such rows)"
        )
    return as_dates.astype("datetime64[s]").set_axis(cells.index), zone


def stamp_texts(cells: pd.Series, order: Order | None) -> pd.Series:
    """Dates and times in ISO 8601 where they are in another known form; the rest as it is."""
    if pd.api.types.is_datetime64_any_dtype(cells):
        return cells
    at, distinct = pd.factorize(_text(cells))
    text = pd.Series(distinct, dtype=object).str.replace(r"\.0$", "", regex=True)
    day, month = ("1", "2") if order == "day-first" else ("2", "1")
    iso = text.str.replace(f"^{_SHORT}$", rf"\3/\{month}/\{day}", regex=True)
    parts = iso.str.extract(f"^{_YEAR_FIRST}$")
    joined = parts[0] + "-" + parts[1].str.zfill(2) + "-" + parts[2].str.zfill(2)
    iso = iso.mask(joined.notna(), joined)
    for form in _NAMED_MONTHS:
        known = pd.to_datetime(text, format=form, errors="coerce")
        iso = iso.mask(known.notna(), known.dt.strftime("%Y-%m-%d"))
    for digits, unit in _EPOCHS.items():
        is_epoch = text.str.fullmatch(rf"\d{{{digits}}}")
        if is_epoch.any():
            # Rounded up: never earlier than it was.
            at_epoch = text[is_epoch].astype("int64").to_numpy()
            instants = pd.to_datetime(at_epoch, unit=unit, utc=True).ceil("s")
            iso[is_epoch] = instants.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pd.Series(iso.to_numpy()[at], index=cells.index, dtype=object).where(cells.notna())


def _text(cells: pd.Series) -> pd.Series:
    """Cells as texts; an empty one where there is none."""
    filled = cells.astype(object).where(cells.notna(), "")
    return filled.map(str).astype(object).str.strip()
