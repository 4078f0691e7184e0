"""Cells as vendors write them into numbers and days."""

import contextlib
import datetime
import math
import re
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
_NUMBER = re.compile(
    r"([+-]?)\$?(\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)([KMBTkmbt]?)"
)
_POWER = {"": "", "K": "e3", "M": "e6", "B": "e9", "T": "e12"}
# 13/01/2024, of which the order is not known, also with Excel's midnight.
_SHORT = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?: 0?0:00(?::00)?)?")
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})")
_LETTERS = re.compile("[A-Za-z]{3}")
_NAMED_MONTHS = ("%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y")
# Since 1970, by their number of digits.
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
    at, distinct = pd.factorize(_text(cells))
    with contextlib.suppress(ValueError):  # most files hold plain numbers
        return pd.Series(np.asarray(distinct, object).astype(float)[at], index=cells.index)
    parsed = [_number(text) for text in distinct]
    bad = np.array([value is None for value in parsed], bool)[at]
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{where}: row {row}: {name} is {distinct[at[row]]!r}, no number such as 1,234.5 or "
            f"1.2M; repair it ({int(bad.sum())} such rows)"
        )
    return pd.Series(np.array(parsed, float)[at], index=cells.index)


def _number(text: str) -> float | None:
    """NaN where there is none; None of what is no number."""
    if text.lower() in _MISSING:
        return math.nan
    parts = _NUMBER.fullmatch(text)
    if parts is None:
        return None
    sign, digits, unit = parts.groups()
    try:
        return float(sign + digits.replace(",", "") + _POWER[unit.upper()])
    except ValueError:  # 1e6M
        return None


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
        for text in pd.unique(_text(cells)):
            if parts := _SHORT.fullmatch(text):
                unclear = unclear or (path, text)
                if int(parts[1]) > 12:
                    seen.setdefault("day-first", (path, text))
                elif int(parts[2]) > 12:
                    seen.setdefault("month-first", (path, text))
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
    if plain.dtype == object:
        plain = plain.where(plain.notna(), "")
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
    iso = np.array([_iso(text, order) for text in distinct], object)
    return pd.Series(iso[at], index=cells.index, dtype=object).where(cells.notna())


def _iso(text: str, order: Order | None) -> str:
    text = text.removesuffix(".0")  # whole numbers beside missing ones
    if parts := _SHORT.fullmatch(text):
        day, month = parts.group(1, 2) if order == "day-first" else parts.group(2, 1)
        return f"{parts[3]}-{month:0>2}-{day:0>2}"
    if parts := _YEAR_FIRST.fullmatch(text):
        return f"{parts[1]}-{parts[2]:0>2}-{parts[3]:0>2}"
    with contextlib.suppress(ValueError, OverflowError):  # out of range
        if text.isdecimal() and (unit := _EPOCHS.get(len(text))):
            # Rounded up: never earlier than it was.
            return f"{pd.Timestamp(int(text), unit=unit, tz='UTC').ceil('s'):%Y-%m-%dT%H:%M:%SZ}"
    for form in _NAMED_MONTHS if _LETTERS.search(text) else ():
        with contextlib.suppress(ValueError):  # of another form
            return f"{datetime.datetime.strptime(text, form):%Y-%m-%d}"
    return text


def _text(cells: pd.Series) -> pd.Series:
    """Cells as texts; an empty one where there is none."""
    filled = cells.astype(object).where(cells.notna(), "")
    return filled.map(str).astype(object).str.strip()
