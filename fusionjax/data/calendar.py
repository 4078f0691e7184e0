"""Sessions of an exchange and their decision times."""

import datetime
import functools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusionjax.errors import InputError

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

_LONGEST_CLOSURE = 40  # days; Athens, summer of 2015


@functools.cache
def zone(calendar: str) -> datetime.tzinfo:
    """The time zone of an exchange.

    Raises:
      InputError: unknown calendar.
    """
    return _exchange(calendar).tz


def closes(sessions: np.ndarray, calendar: str) -> np.ndarray:
    """The close of each session, half days included.

    Args:
      sessions: datetime64[D], sorted and unique.
      calendar: exchange_calendars code.

    Returns:
      datetime64[s] in UTC, one a session; NaT on a day when the exchange was closed.

    Raises:
      InputError: unknown calendar, or dates outside its range.
    """
    last = sessions[-1]
    # Ends with the last bar: some calendars have no holidays beyond this year. Begins some days
    # earlier: the library refuses a calendar of one day, or without any session.
    first = min(sessions[0], last - np.timedelta64(_LONGEST_CLOSURE, "D"))
    known = _exchange(calendar, start=str(first), end=str(last)).closes
    days = known.index.values.astype("datetime64[D]")
    position = np.minimum(np.searchsorted(days, sessions), len(days) - 1)
    utc = pd.DatetimeIndex(known.iloc[position]).tz_convert("UTC").tz_localize(None)
    out = utc.to_numpy().astype("datetime64[s]")
    return np.where(days[position] == sessions, out, np.datetime64("NaT"))


def decision_times(sessions: np.ndarray, calendar: str, delay_minutes: int) -> np.ndarray:
    """The decision time of each session: its close plus a delay.

    Args:
      sessions: datetime64[D], sorted and unique.
      calendar: exchange_calendars code.
      delay_minutes: minutes after the close at which the forecast is made.

    Returns:
      datetime64[s] in UTC, one a session.

    Raises:
      InputError: unknown calendar, dates outside its range, or a date on which the exchange was
        closed.
    """
    times = closes(sessions, calendar)
    if np.isnat(times).any():
        raise InputError(
            f"{sessions[np.isnat(times)][0]}: a bar on a day when {calendar} was closed "
            f"({np.isnat(times).sum()} such days); check the dates or config.data.calendar"
        )
    return times + np.timedelta64(60 * delay_minutes, "s")


def session_after(day: np.datetime64, calendar: str, count: int) -> np.datetime64 | None:
    """The session ``count`` after a day; None where the calendar does not reach so far.

    Raises:
      InputError: unknown calendar.
    """
    zone(calendar)
    end = day + np.timedelta64(_LONGEST_CLOSURE + 2 * count, "D")
    try:
        sessions = _exchange(calendar, start=str(day), end=str(end)).sessions
    except InputError:  # its holidays are not known yet
        return None
    after = sessions.values.astype("datetime64[D]")
    after = after[after > day]
    return after[count - 1] if len(after) >= count else None


def _exchange(calendar: str, **span: str) -> "ExchangeCalendar":
    import exchange_calendars

    try:
        return exchange_calendars.get_calendar(calendar, **span)
    except exchange_calendars.errors.InvalidCalendarName as e:
        raise InputError(
            f"config.data.calendar is {calendar!r}; exchange_calendars knows no such "
            "exchange (XNYS is New York)"
        ) from e
    except ValueError as e:  # the dates are outside its range
        raise InputError(
            f"config.data.calendar: {e}; drop the bars outside, change it or install a newer "
            "exchange_calendars"
        ) from e


def seconds(times: pd.Series) -> np.ndarray:
    """Zoned times as datetime64[s] in UTC, rounded up to whole seconds: never too early."""
    utc = times.dt.ceil("s").dt.tz_convert("UTC").dt.tz_localize(None)
    return utc.to_numpy().astype("datetime64[s]")


def first_session_after(times: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """Index of the first session that decides at or after each time (may be past the end).

    This is the point-in-time join: an item is usable from that session on and never before.
    """
    return np.searchsorted(decisions, times, side="left")
