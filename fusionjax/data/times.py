"""Days and instants, as files write them."""

import datetime

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64

# The basic form, without hyphens and colons, is ISO 8601 too.
_DATE = r"\d{4}-\d{2}-\d{2}|\d{8}"
_ZONE = r" ?(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)"
_MIDNIGHT = rf"^({_DATE})(?:[T ]00:?00(?::?00(?:\.0+)?)?(?:{_ZONE})?)?$"
_INSTANT = rf"(?:{_DATE})[T ]\d{{2}}:?\d{{2}}(?::?\d{{2}}(?:[.,]\d+)?)?{_ZONE}"
_TIMED = rf"(?:{_DATE})[T ]\d"


def days(cells: pd.Series, zone: datetime.tzinfo) -> tuple[pd.Series, Bool[np.ndarray, "N"]]:
    """Days of cells that hold a date alone or its midnight: without a zone, in UTC or in ``zone``,
    or written with any offset.

    Returns:
      Days without a zone, NaT where a cell holds none; and where it holds a time of day.

    Raises:
      ValueError: a cell holds bytes, or half of a letter.
    """
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        return _midnights(cells, zone), cells.notna().to_numpy()
    if pd.api.types.is_datetime64_dtype(cells):
        return cells.where(cells == cells.dt.normalize()), cells.notna().to_numpy()
    text, at = _distinct(cells)
    written = text.str.extract(_MIDNIGHT)[0]
    day = _parsed(written).fillna(_midnights(_instants(text.where(written.isna())), zone))
    timed = text.str.match(_TIMED).to_numpy(bool) & written.isna().to_numpy()
    return day[at].reset_index(drop=True), timed[at]


def stamps(
    cells: pd.Series, zone: datetime.tzinfo, *, begins: bool = False
) -> tuple[pd.Series, Bool[np.ndarray, "N"], Bool[np.ndarray, "N"]]:
    """Instants of cells that hold ISO 8601 text with an offset, Z, UTC or GMT, or a date alone,
    which means the end of that day in ``zone``, or where it ``begins``.

    Returns:
      Instants in UTC, NaT where a cell holds none; where it lacks a zone; and where it has another
      form.

    Raises:
      ValueError: a cell holds bytes, or half of a letter.
    """
    text, at = _distinct(cells)
    is_date, zoned = text.str.fullmatch(_DATE), text.str.fullmatch(_INSTANT)
    naive = ~is_date & ~zoned & text.str.match(_TIMED)
    # Where clocks change at midnight: the first moment of that day that exists, or the later one of
    # two.
    midnight = _parsed(text.where(is_date)) + pd.Timedelta(days=0 if begins else 1)
    edge = midnight.dt.tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
    instant = _instants(text).where(zoned, edge.dt.tz_convert("UTC"))
    other = ~(is_date | zoned | naive)
    return (
        instant[at].reset_index(drop=True),
        naive.to_numpy(bool)[at],
        other.to_numpy(bool)[at],
    )


def _parsed(dates: pd.Series) -> pd.Series:
    return pd.to_datetime(dates.str.replace("-", ""), format="%Y%m%d", errors="coerce")


def _midnights(instants: pd.Series, zone: datetime.tzinfo) -> pd.Series:
    """The day that begins at each instant, in ``zone`` or in UTC; NaT where none does."""
    local = instants.dt.tz_convert(zone).dt.tz_localize(None)
    utc = instants.dt.tz_convert("UTC").dt.tz_localize(None)
    return local.where(local == local.dt.normalize(), utc.where(utc == utc.dt.normalize()))


def _instants(text: pd.Series) -> pd.Series:
    """Times with a zone in UTC; NaT for what is none."""
    plain = text.where(text.str.fullmatch(_INSTANT).fillna(False).astype(bool))
    plain = plain.str.replace(",", ".").str.replace(" ?(?:UTC|GMT)$", "Z", regex=True)
    plain = plain.str.replace(" (?=[-+Z])", "", regex=True)
    return pd.to_datetime(plain, format="ISO8601", utc=True, errors="coerce")


def _distinct(cells: pd.Series) -> tuple[pd.Series, Int64[np.ndarray, "N"]]:
    """The cells' texts, each once, as a file has few days and many rows; and where each cell's is
    among them."""
    at, distinct = pd.factorize(cells.astype(str))
    return pd.Series(distinct, dtype=object).str.strip().str.upper(), at
