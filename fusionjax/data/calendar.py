"""Sessions of an exchange and their decision times."""

import datetime
import functools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from fusionjax.errors import InputError

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

_LONGEST_CLOSURE = 40  # days; Athens, summer of 2015
_LAST_SATURDAY, _SATURDAY_CLOSE = np.datetime64("1952-05-24"), "12:00"  # of New York

FIRST, LAST = pd.Timestamp("1800-01-01"), pd.Timestamp("2199-12-31")  # range of the calendars

Changes = dict[str, str]  # by day: the local close, HH:MM, that differs; empty: closed


@functools.cache
def zone(calendar: str, named: str = "config.data.calendar") -> datetime.tzinfo:
    """The time zone of an exchange.

    Args:
      calendar: exchange_calendars code.
      named: what holds the code, for the message.

    Raises:
      InputError: unknown calendar.
    """
    return _exchange(calendar, named).tz


@functools.cache
def name(calendar: str, named: str = "config.data.calendar") -> str:
    """The code of an exchange by one of its names: XNYS of NYSE. Arguments as of ``zone``."""
    return _exchange(calendar, named).name


def codes() -> list[str]:
    """All exchanges that exchange_calendars knows, sorted."""
    import exchange_calendars

    return sorted(exchange_calendars.get_calendar_names(include_aliases=False))


def closes(
    calendar: str, first: np.datetime64, last: np.datetime64, changes: Changes
) -> tuple[Shaped[np.ndarray, "D"], Shaped[np.ndarray, "D"]]:
    """The sessions of an exchange from ``first`` to ``last``, and their closes.

    Args:
      calendar: exchange_calendars code.
      first: day.
      last: day; some calendars have no holidays beyond this year.
      changes: days on which the exchange did not do what exchange_calendars says.

    Returns:
      datetime64[D], and datetime64[s] in UTC.

    Raises:
      InputError: unknown calendar, or days outside its range.
    """
    # The library refuses a calendar of one day, or without any session.
    start = min(first, last - np.timedelta64(_LONGEST_CLOSURE, "D"))
    table = _exchange(calendar, start=str(start), end=str(last)).closes
    utc = pd.Series(pd.DatetimeIndex(table).tz_convert("UTC").tz_localize(None), table.index)
    if changes:
        opened = [f"{day} {close}" for day, close in changes.items() if close]
        local = pd.to_datetime(opened, format="%Y-%m-%d %H:%M")
        at = local.tz_localize(zone(calendar), ambiguous=False, nonexistent="shift_forward")
        told = pd.Series(at.tz_convert("UTC").tz_localize(None), local.normalize())
        kept = utc[~utc.index.isin(pd.to_datetime([*changes]))]
        utc = pd.concat([kept, told]).sort_index()
    days = utc.index.to_numpy().astype("datetime64[D]")
    inside = (days >= first) & (days <= last)
    return days[inside], utc.to_numpy().astype("datetime64[s]")[inside]


def close_times(
    sessions: Shaped[np.ndarray, "R"], calendar: str, changes: Changes | None = None
) -> Shaped[np.ndarray, "R"]:
    """The close of each session, half days included.

    Args:
      sessions: datetime64[D].
      calendar: exchange_calendars code.
      changes: as in ``closes``.

    Returns:
      datetime64[s] in UTC; NaT on a day when the exchange was closed.

    Raises:
      InputError: unknown calendar, or dates outside its range.
    """
    changes = saturdays(sessions, calendar) | (changes or {})
    days, utc = closes(calendar, sessions.min(), sessions.max(), changes)
    utc = np.append(utc, np.datetime64("NaT"))
    return utc[np.where(np.isin(sessions, days), np.searchsorted(days, sessions), -1)]


def decision_times(
    sessions: Shaped[np.ndarray, "R"],
    calendar: str,
    delay_minutes: int,
    changes: Changes | None = None,
) -> Shaped[np.ndarray, "R"]:
    """The decision time of each session: its close plus a delay.

    Args:
      sessions: datetime64[D].
      calendar: exchange_calendars code.
      delay_minutes: minutes after the close at which the forecast is made.
      changes: as in ``closes``.

    Returns:
      datetime64[s] in UTC.

    Raises:
      InputError: unknown calendar, dates outside its range, or a date on which the exchange was
        closed.
    """
    times = close_times(sessions, calendar, changes)
    closed = np.isnat(times)
    if closed.any():
        raise InputError(
            f"{sessions[closed][0]}: a bar on a day when {calendar} was closed "
            f"({len(np.unique(sessions[closed]))} such days); check the dates or "
            "config.data.calendar"
        )
    return times + np.timedelta64(60 * delay_minutes, "s")


def saturdays(sessions: Shaped[np.ndarray, "R"], calendar: str) -> Changes:
    """New York's Saturdays among ``sessions``, as changes: exchange_calendars does not know them,
    and nothing says which of a summer's were sessions but the bars."""
    if sessions.min() > _LAST_SATURDAY or name(calendar) != "XNYS":
        return {}
    days = np.unique(sessions[sessions <= _LAST_SATURDAY])
    saturday = (days.astype(np.int64) + 3) % 7 == 5
    return dict.fromkeys(days[saturday].astype(str).tolist(), _SATURDAY_CLOSE)


def foreseen(
    calendar: str, first: np.datetime64, last: np.datetime64
) -> tuple[Shaped[np.ndarray, "D"], Shaped[np.ndarray, "D"]]:
    """The sessions that a calendar foresees and their closes, as of ``closes``; beyond its last
    holiday that is known, Monday to Friday.

    Raises:
      InputError: unknown calendar.
    """
    bounds = _bounds(calendar)
    end = min(last, bounds[1])
    days, utc = closes(calendar, max(first, bounds[0]), end, {})
    more = np.arange(end + 1, last + 1)
    more = more[np.is_busday(more)]
    if len(more):  # at the time of day of the last close that is known
        days, utc = np.append(days, more), np.append(utc, utc[-1] + (more - days[-1]))
    return days, utc


def session_after(
    day: np.datetime64, calendar: str, count: int, changes: Changes | None = None
) -> np.datetime64 | None:
    """The session ``count`` after a day; None where the calendar does not reach so far.

    Args:
      day: datetime64[D].
      calendar: exchange_calendars code.
      count: from 1 on.
      changes: as in ``closes``.

    Raises:
      InputError: unknown calendar.
    """
    zone(calendar)
    end = day + np.timedelta64(_LONGEST_CLOSURE + 2 * count, "D")
    try:
        sessions, _ = closes(calendar, day, end, changes or {})
    except InputError:  # its holidays are not known yet
        return None
    after = sessions[sessions > day]
    return after[count - 1] if len(after) >= count else None


@functools.cache
def _bounds(calendar: str) -> tuple[np.datetime64, np.datetime64]:
    """The first and the last day for which a calendar knows its holidays."""
    of = _exchange(calendar)
    first, last = (of.bound_min() or FIRST), (of.bound_max() or LAST)
    return first.to_numpy().astype("datetime64[D]"), last.to_numpy().astype("datetime64[D]")


def _exchange(
    calendar: str, named: str = "config.data.calendar", **span: str
) -> "ExchangeCalendar":
    import exchange_calendars

    try:
        return exchange_calendars.get_calendar(calendar, **span)
    except exchange_calendars.errors.InvalidCalendarName as e:
        raise InputError(
            f"{named} is {calendar!r}; exchange_calendars knows no such exchange (XNYS is New York)"
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
