"""Every exchange can be opened, and says of well-known days what the exchanges said themselves."""

import functools

import exchange_calendars
import numpy as np
import pandas as pd
import pytest

from fusionjax.data import calendar

# Where it is not 1990: the first day that is recorded; for New York enough for what is known below.
SINCE = {
    "AIXK": "2017-01-01",
    "XBOM": "1997-01-01",
    "XNYS": "1952-01-01",
    "XSAU": "2021-01-01",
    "XSHG": "1990-12-03",
    "XTKS": "1997-01-01",
}
# Local close of a day, "open" where only that is certain, "closed": as the exchanges, or the press
# of that day, said. Nothing here was read out of exchange_calendars.
KNOWN = {
    # nyse.com, "Holidays & Trading Hours", and its list of special closings: hurricane Gloria,
    # Nixon, 11 September, Reagan, Ford, hurricane Sandy, G. H. W. Bush, Carter.
    "XNYS": {
        "1985-09-27": "closed",
        "1994-04-27": "closed",
        "2001-09-11": "closed",
        "2001-09-14": "closed",
        "2001-09-17": "16:00",
        "2004-06-11": "closed",
        "2007-01-02": "closed",
        "2012-10-29": "closed",
        "2012-10-30": "closed",
        "2012-10-31": "16:00",
        "2013-07-03": "13:00",
        "2018-12-05": "closed",
        "2018-12-24": "13:00",
        "2021-06-18": "16:00",  # Juneteenth is a holiday from 2022 on
        "2022-06-20": "closed",
        "2024-11-29": "13:00",
        "2025-01-09": "closed",
    },
    # tsx.com, "Trading calendar"; it traded on the day of the Queen's funeral, London did not.
    "XTSE": {"2018-12-24": "13:00", "2022-09-19": "16:00", "2024-12-24": "13:00"},
    # londonstockexchange.com, "Business days": royal wedding, VE day moved, jubilee, the funeral,
    # the coronation; half days of Christmas.
    "XLON": {
        "2011-04-29": "closed",
        "2020-05-04": "16:30",
        "2020-05-08": "closed",
        "2022-06-02": "closed",
        "2022-06-03": "closed",
        "2022-09-19": "closed",
        "2023-05-08": "closed",
        "2024-12-24": "12:30",
        "2024-12-31": "12:30",
    },
    # euronext.com, "Trading hours and holidays 2024": open on Ascension Day, not on 1 May.
    "XPAR": {
        "2024-05-01": "closed",
        "2024-05-09": "17:30",
        "2024-12-24": "14:05",
        "2024-12-31": "14:05",
    },
    # deutsche-boerse.com, "Trading calendar": Whit Monday is a trading day from 2022 on.
    "XETR": {
        "2021-05-24": "closed",
        "2022-06-06": "17:30",
        "2024-10-03": "17:30",
        "2024-12-24": "closed",
        "2024-12-30": "14:00",
        "2024-12-31": "closed",
    },
    # nasdaq.com, "European markets holiday schedule": half days before Easter and Ascension.
    "XSTO": {"2024-03-28": "13:00", "2024-05-08": "13:00", "2024-06-21": "closed"},
    # Closed by decree from 29 June to 31 July 2015 (Reuters, 2015-08-03). Easter of 2024 was on
    # 5 May: Orthodox Friday and Monday; the Greek exchanges close on the western days too.
    "ASEX": {
        "2015-06-26": "open",
        "2015-06-29": "closed",
        "2015-07-31": "closed",
        "2015-08-03": "open",
        "2024-03-29": "closed",
        "2024-05-03": "closed",
        "2024-05-06": "closed",
        "2024-05-07": "open",
    },
    "XCYS": {"2024-03-29": "closed", "2024-05-03": "closed", "2024-05-06": "closed"},
    "XBSE": {"2024-03-29": "open", "2024-05-03": "closed", "2024-05-06": "closed"},
    "XBEL": {"2024-03-29": "open", "2024-05-03": "closed", "2024-05-06": "closed"},
    # Borsa Istanbul stopped on 8 February 2023, two days after the earthquake, and traded again on
    # the 15th (Reuters, 2023-02-15).
    "XIST": {"2023-02-09": "closed", "2023-02-14": "closed", "2023-02-15": "open"},
    # Sunday to Thursday until 1 January 2026, Monday to Friday since the 5th (Globes, 2026-01-01
    # and 2026-01-11: "first Friday session").
    "XTAE": {
        "2023-10-08": "open",
        "2025-12-26": "closed",
        "2025-12-28": "open",
        "2026-01-02": "closed",
        "2026-01-09": "open",
        "2026-01-11": "closed",
    },
    # Saturdays to which a working day was moved (decrees on days off of 2018, 2021, 2024); MOEX,
    # 2018-04-20: "28 April 2018 is a business day"; 2020-06-03: closed on 24 June and 1 July.
    "XMOS": {
        "2018-04-28": "open",
        "2020-06-24": "closed",
        "2020-07-01": "closed",
        "2021-02-20": "open",
        "2024-04-27": "open",
        "2024-11-02": "open",
        "2024-12-28": "open",
        "2024-12-31": "closed",
    },
    # BSE, 2024-01-05: a session on Saturday the 20th, none on Monday the 22nd; elections on 20 May
    # and 20 November 2024; Budget on a Saturday (Hindustan Times, 2025-01-28: 9:15 to 15:30).
    "XBOM": {
        "2024-01-20": "15:30",
        "2024-01-22": "closed",
        "2024-05-20": "closed",
        "2024-11-20": "closed",
        "2025-02-01": "15:30",
    },
    # Half days of HKEX's calendar; storms (HKEX): Nangka, Kompasu, Talim; it traded on the day
    # after Mangkhut.
    "XHKG": {
        "2018-09-17": "16:00",
        "2020-10-13": "closed",
        "2021-10-13": "closed",
        "2023-07-17": "closed",
        "2024-02-09": "12:00",
        "2024-12-24": "12:00",
        "2024-12-31": "12:00",
        "2025-01-28": "12:00",
    },
    # sse.com.cn: the week of Spring Festival made longer in 2020, the parade of 2015.
    "XSHG": {
        "2015-09-03": "closed",
        "2015-09-04": "closed",
        "2020-01-31": "closed",
        "2020-02-03": "15:00",
        "2024-02-09": "closed",
    },
    # jpx.co.jp: ten days of the new era, Olympic holidays, a day lost to a broken disk, half an
    # hour more from 5 November 2024 on.
    "XTKS": {
        "2019-04-30": "closed",
        "2019-05-02": "closed",
        "2020-07-24": "closed",
        "2020-10-01": "closed",
        "2021-07-22": "closed",
        "2024-11-01": "15:00",
        "2024-11-05": "15:30",
    },
    # Saturdays until 5 December 1998; half an hour more from 1 August 2016 on; an hour later on the
    # day of the university entrance exam (Yonhap, 2019-11-04; Korea Herald, 2020-11-23), put off
    # for a week after the Pohang earthquake (Korea Bizwire, 2017-11-21).
    "XKRX": {
        "1998-11-28": "open",
        "1998-12-05": "open",
        "1998-12-12": "closed",
        "2016-07-29": "15:00",
        "2016-08-01": "15:30",
        "2017-11-23": "16:30",
        "2019-11-14": "16:30",
        "2020-12-03": "16:30",
    },
    # Typhoons Gaemi and Krathon (Bloomberg, 2024-07-24 and 2024-10-01).
    "XTAI": {"2024-07-24": "closed", "2024-07-25": "closed", "2024-10-02": "closed"},
    # asx.com.au, "Trading calendar": the day of mourning of 2022, short days of Christmas.
    "XASX": {"2022-09-22": "closed", "2024-12-24": "14:10", "2024-12-31": "14:10"},
}
# Where exchange_calendars is wrong: bars of such days are refused, or decided at another time. One
# that has been mended belongs above.
WRONG = {
    # The exchange gave up Saturdays in the summer of 1952 (Time, 1952-07-28).
    "XNYS": {"1952-05-24": "open"},
    # Diwali's hour (Free Press Journal, 2021-11-04; Business Standard, 2024-10-20); a drill on a
    # Saturday (Hindustan Times, 2024-02-15); Budget on Saturdays (Hindustan Times, 2025-01-28).
    "XBOM": {
        "2015-02-28": "15:30",
        "2020-02-01": "15:30",
        "2021-11-04": "19:15",
        "2024-03-02": "12:30",
        "2024-11-01": "19:00",
    },
    # No shares were traded from 28 February to 23 March 2022 (Bank of Russia, 2022-03-02).
    "XMOS": {"2022-03-02": "closed"},
    # Exam days (Yonhap, 2022-11-14 and 2023-11-02).
    "XKRX": {"2022-11-17": "16:30", "2023-11-16": "16:30"},
    # Typhoon Saola, black rain (HKEX, on the days).
    "XHKG": {"2023-09-01": "closed", "2023-09-08": "closed"},
    # The last Sunday was 28 December 2025 (Globes, on the day).
    "XTAE": {"2026-01-04": "closed"},
    # Typhoon Kong-rey (Bloomberg, on the day).
    "XTAI": {"2024-10-31": "closed"},
    # Closed for two days when Luzon was (CNN Philippines, 2020-03-18).
    "XPHS": {"2020-03-17": "closed", "2020-03-18": "closed"},
}


@functools.cache
def closes(code: str) -> pd.Series:
    """Local time of each session's close, from the start to a year from now or as far as is known.

    Opened as ``decision_times`` does; once, as it takes up to two CPU seconds.
    """
    exchange = calendar._exchange(code, start=SINCE.get(code, "1990-01-01"))
    return exchange.closes.dt.tz_convert(exchange.tz).dt.tz_localize(None)


@pytest.mark.slow
@pytest.mark.parametrize("code", exchange_calendars.get_calendar_names(include_aliases=False))
def test_every_exchange_opens_from_its_start_to_next_year(code: str) -> None:
    days = closes(code).index.to_numpy().astype("datetime64[D]")
    assert days[0] < np.datetime64(SINCE.get(code, "1990-01-01")) + 10
    assert days[-1] >= np.datetime64("2026-12-31"), "what the oldest of the lock knows"
    gaps = np.diff(days) / np.timedelta64(1, "D")
    assert gaps.min() > 0
    assert gaps.max() <= calendar._LONGEST_CLOSURE
    _, sessions = np.unique(days.astype("datetime64[Y]"), return_counts=True)
    assert sessions[1:-1].min() > 220, "of full years; Athens had 223 in 2015"
    hour = closes(code) - closes(code).index
    assert hour.between(pd.Timedelta(0), pd.Timedelta(days=1)).all()


@pytest.mark.parametrize("code", KNOWN)
def test_exchanges_are_open_and_close_as_they_said(code: str) -> None:
    assert {day: _told(code, day, like) for day, like in KNOWN[code].items()} == KNOWN[code]


@pytest.mark.parametrize(("code", "day"), [(c, d) for c, days in WRONG.items() for d in days])
def test_what_the_library_does_not_know_is_still_so(code: str, day: str) -> None:
    told, truth = _told(code, day, WRONG[code][day]), WRONG[code][day]
    assert told != truth, f"mended: move it to KNOWN ({code} {day}) and out of docs/data.md"


def _told(code: str, day: str, like: str) -> str:
    """What the calendar says of a day, in the words of ``KNOWN``."""
    if day not in closes(code).index:
        return "closed"
    return "open" if like == "open" else f"{closes(code)[day]:%H:%M}"
