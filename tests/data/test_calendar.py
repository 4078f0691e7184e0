"""Decisions come after the real close of the exchange, and items join forward only."""

import exchange_calendars
import numpy as np
import pytest

from fusionjax.data import calendar
from fusionjax.errors import InputError


def test_half_days_and_daylight_saving() -> None:
    days = np.array(["2018-07-02", "2018-11-21", "2018-11-23"], "datetime64[D]")
    at = calendar.decision_times(days, "XNYS", 30)
    # 16:00 in New York is 20:00 UTC in summer, 21:00 in winter; the day after Thanksgiving ends at
    # 13:00.
    assert at.astype(str).tolist() == [
        "2018-07-02T20:30:00",
        "2018-11-21T21:30:00",
        "2018-11-23T18:30:00",
    ]


def test_a_bar_on_a_holiday_is_refused() -> None:
    with pytest.raises(InputError, match="2018-12-25: a bar on a day when XNYS was closed"):
        calendar.decision_times(np.array(["2018-12-24", "2018-12-25"], "datetime64[D]"), "XNYS", 0)
    with pytest.raises(InputError, match="knows no such exchange"):
        calendar.decision_times(np.array(["2018-12-24"], "datetime64[D]"), "XXXX", 0)


def test_days_before_an_exchange_kept_records_are_refused() -> None:
    with pytest.raises(InputError, match="config.data.calendar: The XKRX holidays are only recor"):
        calendar.decision_times(np.array(["1950-01-03"], "datetime64[D]"), "XKRX", 0)


@pytest.mark.parametrize("code", ["XSHG", "XBOM", "XSES"])
def test_the_last_week_that_a_calendar_knows_has_decisions(code: str) -> None:
    """These holidays are recorded a year or less ahead."""
    bound = exchange_calendars.get_calendar(code).bound_max()
    sessions = exchange_calendars.get_calendar(code, end=bound).sessions[-8:]
    days = sessions.to_numpy().astype("datetime64[D]")
    assert (np.datetime64(bound, "D") - days[-1]).astype(int) < 7
    assert len(calendar.decision_times(days, code, 0)) == 8
    assert len(calendar.decision_times(days[-1:], code, 0)) == 1
    beyond = np.append(days, days[-1] + 14)
    with pytest.raises(InputError, match=f"config.data.calendar: .*{code}.* newer exchange_cal"):
        calendar.decision_times(beyond, code, 0)


def test_a_single_day_of_a_long_closure_is_refused_as_any() -> None:
    with pytest.raises(InputError, match="2015-07-31: a bar on a day when ASEX was closed"):
        calendar.decision_times(np.array(["2015-07-31"], "datetime64[D]"), "ASEX", 0)


def test_items_join_the_first_decision_at_or_after_them() -> None:
    decisions = np.array(["2018-07-02T20:30:00", "2018-07-03T17:30:00"], "datetime64[s]")
    times = np.array(
        ["2018-07-02T20:30:00", "2018-07-02T20:30:01", "2018-07-03T17:30:01"], "datetime64[s]"
    )
    assert calendar.first_session_after(times, decisions).tolist() == [0, 1, 2]


def test_days_that_only_a_folder_knows_are_sessions_and_others_are_not() -> None:
    days = np.array(["2024-10-31", "2024-11-01", "2024-11-04"], "datetime64[D]")
    told = {"2024-11-01": "19:00", "2024-11-04": "13:00", "2024-10-30": ""}
    with pytest.raises(InputError, match="2024-11-01: a bar on a day when XBOM was closed .1 s"):
        calendar.decision_times(days, "XBOM", 0)
    at = calendar.decision_times(days, "XBOM", 0, told).astype(str).tolist()
    assert at == ["2024-10-31T10:00:00", "2024-11-01T13:30:00", "2024-11-04T07:30:00"]
    known, _ = calendar.closes("XBOM", days[0] - 2, days[-1], told)
    assert known.astype(str).tolist() == ["2024-10-29", *days.astype(str)]


def test_new_york_traded_on_saturdays_until_may_1952() -> None:
    days = np.array(["1950-01-06", "1950-01-07", "1950-01-09", "1952-05-24"], "datetime64[D]")
    at = calendar.decision_times(days, "NYSE", 0).astype(str).tolist()
    assert at[1] == "1950-01-07T17:00:00", "at noon"
    assert at[3] == "1952-05-24T16:00:00"
    with pytest.raises(InputError, match="1952-05-31: a bar on a day"):
        calendar.decision_times(days[-1:] + 7, "XNYS", 0)
    with pytest.raises(InputError, match="1950-01-07: a bar on a day"):
        calendar.decision_times(days[:2], "XTSE", 0)
