"""What came of a service's earlier calls: judged by the labels, counted by session."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_market
from parents import config

from fusionjax.adapt.outcomes import hit_rate, outcomes
from fusionjax.data.calendar import session_after
from fusionjax.report import day as day_page

SYMBOLS = ("AA", "BB", "CC", "DD")


def served(service: Path, session: str, calls: dict[str, str]) -> None:
    """A day's forecasts, as ``daily`` keeps them."""
    records = [
        {
            "symbol": symbol,
            "session": session,
            "decision_time": f"{session} 21:00:00Z",
            "call": call,
            "calibrated": {
                "up": 0.6 if call == "up" else 0.4,
                "interval_1d": {"level": 0.9, "low": -0.02, "high": 0.021},
            },
            "daily_volatility": {"5d": 0.0125},
            "modality_weight": {"price": 1.0},
        }
        for symbol, call in calls.items()
    ]
    (service / session).mkdir(parents=True)
    (service / session / "forecast.json").write_text(json.dumps(records))


def test_calls_are_judged_by_what_came_and_counted(tmp_path: Path) -> None:
    market, c = tiny_market(days=60, symbols=SYMBOLS), config()
    days = np.unique(market.session).astype(str).tolist()
    for day in days[40:44]:
        served(tmp_path, day, {"AA": "up", "BB": "down", "CC": "up", "DD": "abstain", "ZZ": "up"})
    got = outcomes(market, c, tmp_path, days[43])
    assert [d["session"] for d in got["days"]] == days[40:43], "today's are not known yet"
    rose = {
        (day, symbol): market.adj_close[row + 1] >= market.adj_close[row]
        for row, (day, symbol) in enumerate(
            zip(
                market.session.astype(str).tolist(),
                np.array(market.symbols)[market.symbol].tolist(),
                strict=True,
            )
        )
        if day in days[40:43]
    }
    for d in got["days"]:
        right = [rose[d["session"], s] == up for s, up in (("AA", 1), ("BB", 0), ("CC", 1))]
        assert d == {
            "session": d["session"],
            "calls": 3,
            "up": 2,
            "judged": 3,
            "right": sum(right),
            "rose": sum(bool(rose[d["session"], s]) for s in ("AA", "BB", "CC")),
        }
    last = got["latest"]
    assert (last["session"], [x["symbol"] for x in last["calls"]]) == (days[42], ["AA", "BB", "CC"])
    for x in last["calls"]:
        assert x["right"] == (rose[days[42], x["symbol"]] == (x["call"] == "up"))
        assert (x["return"] >= 0) == rose[days[42], x["symbol"]]
    assert got["overall"]["sessions"] == 3
    assert got["overall"]["low"] is None, "three days have no interval"
    assert outcomes(market, c, tmp_path / "new", days[43])["days"] == []


def test_the_interval_of_the_hit_rate_holds_for_calls_that_share_a_market() -> None:
    """87 calls a day, all right or all wrong together: binomial intervals would hold 2 in 10."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        right = np.where(rng.random(30) < 0.5, 70, 17)
        days = [
            {"calls": 87, "up": 87, "judged": 87, "right": int(r), "rose": int(r)} for r in right
        ]
        got = hit_rate(days, 1)
        held += got["low"] <= 0.5 <= got["high"]
        assert got["right"] == got["rose"]
    assert 0.92 < held / 400 < 0.975


def done(**changes: Any) -> dict[str, Any]:
    """What a served day records."""
    day = {"session": "2024-03-07", "calls": 87, "up": 87, "judged": 80, "right": 24, "rose": 24}
    calls = [
        {
            "symbol": f"S{i}",
            "call": "up",
            "up": 0.55,
            "return": -0.012,
            "right": None if i else False,
        }
        for i in range(87)
    ]
    return {
        "day": "2024-03-08",
        "forecast_day": "2024-03-11",
        "horizon": 1,
        "forecasts": [
            {
                "symbol": f"S{i}",
                "session": "2024-03-08",
                "decision_time": "2024-03-08 21:00:00Z",
                "direction": {"1d": {"down": 0.4, "up": 0.6}},
                "call": "up",
                "calibrated": {
                    "up": 0.5 + i / 1000,
                    "interval_1d": {"level": 0.9, "low": -0.0213, "high": 0.0187},
                },
                "return_quantiles": {"1d": {"0.05": -0.02, "0.5": 0.0, "0.95": 0.02}},
                "daily_volatility": {"5d": 0.0125},
                "modality_weight": {"price": 1.03, "text": 0.97},
            }
            for i in range(87)
        ],
        "outcomes": {
            "horizon": 1,
            "days": [day],
            "latest": {"session": "2024-03-07", "calls": calls},
            "overall": hit_rate([day], 1),
        },
        "drift": ["distributed otherwise than in training: vix_level (PSI 4.90)"],
        "alarms": 0,
        "robustness": {"vix_level": 0.0, "ret": 0.97},
        "shifts": {"vix_level": {"PSI": 4.9, "KS": 0.8}, "ret": {"PSI": 0.03, "KS": 0.05}},
        "update": {"why": "not due: 2 of 7 sessions since 2024-03-06"},
        "serving": "/srv/desk/runs/deep/acl18_serving/2024-03-06/update",
        "forecaster": "acl18_serving, update of 2024-03-06",
        "learned": ["2020-01-02", "2024-02-09"],
    } | changes


def unmarked(page: Path) -> str:
    """A page without the explanations of its words."""
    return re.sub(r"</?abbr[^>]*>", "", page.read_text())


def test_a_desk_reads_on_the_page_what_is_forecast_and_how_it_went(tmp_path: Path) -> None:
    text = unmarked(day_page.write(done(), tmp_path / "report.html"))
    assert "<title>Forecasts for Monday 2024-03-11</title>" in text
    lead = text.split('class="lead">')[1].split("</p>")[0]
    assert lead == (
        "After the close of Friday 2024-03-08. acl18_serving, update of 2024-03-06, which has "
        "learned labels to 2024-02-09, forecasts 87 stocks: 87 up. No drift alarms. "
        "Update: not due: 2 of 7 sessions since 2024-03-06."
    )
    assert "After 2024-03-07: 24 of 80 judged calls were right (30%); 87 of 87 said up." in text
    assert "they are one bet on the market, not 87 on stocks" in text
    assert "too few days for an interval" in text
    assert text.index("No watched series left its level") < text.index("vix_level (PSI 4.90)")
    for heading in ("P(up)", "return, next session: 90% interval", "weight of text",
                    "volatility a day, next 5 sessions"):  # fmt: skip
        assert f"<th>{heading}</th>" in text
    assert "<td>-2.13% to +1.87%</td>" in text
    assert "<td>1.25%</td>" in text
    for raw in ("calibrated.up", "interval_1d", "daily_volatility", "modality_weight"):
        assert raw not in text
    assert text.index(">S86<") < text.index(">S0<"), "the likeliest rise first"


def test_the_page_of_a_first_day_and_of_an_unknown_next_session(tmp_path: Path) -> None:
    empty = {"horizon": 5, "days": [], "latest": {}, "overall": {}}
    changes = {"outcomes": empty, "forecast_day": None, "horizon": 5, "alarms": 2}
    text = unmarked(day_page.write(done(**changes), tmp_path / "report.html"))
    assert "No call of this service has a known outcome yet." in text
    assert "Forecasts for the next 5 sessions" in text
    assert "2 drift alarms." in text
    assert "No watched series" not in text


@pytest.mark.parametrize("count", [1, 2])
def test_the_session_after_is_the_exchanges(count: int) -> None:
    easter = np.datetime64("2024-03-28")  # Thursday; New York is closed on Good Friday
    assert str(session_after(easter, "XNYS", count)) == ("2024-04-01", "2024-04-02")[count - 1]
    assert session_after(np.datetime64("2190-01-03"), "XSHG", 1) is None
    closed = {"2024-04-01": ""}  # as sessions.csv may tell
    assert (
        str(session_after(easter, "XNYS", count, closed)) == ("2024-04-02", "2024-04-03")[count - 1]
    )
