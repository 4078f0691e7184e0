"""A service's track record: labels as they come, figures beside the simplest forecasts, and a proof
that names the first day with which somebody tampered."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_market
from parents import config

from fusionjax.adapt import matured, proof, track
from fusionjax.config import Config
from fusionjax.data.samples import growth
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.report import track as page

SYMBOLS = ("AA", "BB", "CC", "DD")
LEARNED = ("2020-01-01", "2020-03-31")


def cut(market: Market, day: str) -> Market:
    """What is known of labels at the close of a day: the rows themselves do not matter."""
    keep = market.session <= np.datetime64(day)
    own = ("symbol", "session", "decision_time", "ohlcv", "adj_close", "subset", "channels")
    new = np.cumsum(keep) - 1
    return dataclasses.replace(
        market,
        **{name: getattr(market, name)[keep] for name in own},
        first_row=new[market.first_row[keep]],
        texts=None,
    )


def record_of(symbol: str, up: float, width: float) -> dict[str, Any]:
    """A forecast as ``daily`` keeps it."""
    quantiles = dict(
        zip(("0.05", "0.25", "0.5", "0.75", "0.95"), np.linspace(-2, 2, 5), strict=True)
    )
    return {
        "symbol": symbol,
        "call": "up" if up > 0.5 else "down",
        "calibrated": {
            "up": up,
            **{f"interval_{h}d": {"level": 0.9, "low": -width, "high": width} for h in (1, 5)},
        },
        "return_quantiles": {f"{h}d": {k: 0.004 * v for k, v in quantiles.items()} for h in (1, 5)},
        "daily_volatility": {"5d": 0.01},
        "modality_weight": {"price": 1.0, "text": 0.5},
        "model": "m" * 16,
    }


def serve(service: Path, market: Market, c: Config, day: str, records: list[dict]) -> str:
    """What ``daily`` writes of a day that this is about."""
    folder = service / day
    folder.mkdir(parents=True)
    for name in ("begun", "drift", "update", "explanation"):
        (folder / f"{name}.json").write_text(json.dumps({"of": day}))
    (folder / "forecast.json").write_text(json.dumps(records))
    told = {
        "day": day,
        "weights": {"price": 1.0, "text": 0.5},
        "alarms": ["input vol20 rose"] if day.endswith("05") else [],
        "read_before": [],
        "update": {"made": False, "promoted": False, "why": "not due"},
        "learned": LEARNED,
        **matured.matured(market, c, service, day, LEARNED),
    }
    (folder / "track.json").write_text(json.dumps(told))
    own = proof.record(service, day, {"model": records[0]["model"]})
    (folder / "done.json").write_text(json.dumps({"forecasts": records}))
    return own


@pytest.fixture(scope="module")
def market() -> Market:
    return tiny_market(days=260, symbols=SYMBOLS)


@pytest.fixture(scope="module")
def lived(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 sessions in which the calls of AA are always right, those of the others at random."""
    service, c = tmp_path_factory.mktemp("lived") / "service", config()
    rng = np.random.default_rng(0)
    days = np.unique(market.session).astype(str).tolist()
    for day in days[100:190]:
        rows = np.flatnonzero(market.session == np.datetime64(day))
        ratio, _ = growth(market, rows, 1, market.session.max())
        ups = [0.9 if ratio[0] >= 1 else 0.1, *rng.choice([0.42, 0.58], 3)]
        records = [record_of(s, float(u), 0.015) for s, u in zip(SYMBOLS, ups, strict=True)]
        serve(service, cut(market, day), c, day, records)
    return service


def test_every_label_is_counted_once_on_the_day_it_came(market: Market, lived: Path) -> None:
    days = sorted(p.parent.name for p in lived.glob("*/track.json"))
    told = [json.loads((lived / day / "track.json").read_text()) for day in days]
    counted: dict[tuple[str, str, str], str] = {}
    for each in told:
        for entry in each["labels"]:
            for symbol in entry["symbols"]:
                key = entry["target"], entry["session"], symbol
                assert key not in counted, "twice"
                counted[key] = each["day"]
    for horizon, targets in ((1, ("direction.1d", "returns.1d")), (5, ("returns.5d",))):
        for target in targets:
            for i, session in enumerate(days[:-horizon]):
                assert counted[target, session, "BB"] == days[i + horizon]
    assert told[0]["labels"] == []
    one = next(e for e in told[1]["labels"] if e["target"] == "returns.1d")
    row = np.flatnonzero(market.session == np.datetime64(days[0]))
    came = np.log(growth(market, row, 1, market.session.max())[0])
    np.testing.assert_allclose(one["came"], came, atol=1e-6)
    inside = (np.abs(came) <= 0.015).astype(float)
    assert one["counted"]["inside the 90% interval"] == inside.tolist()


def test_the_figures_are_those_of_the_labels(market: Market, lived: Path) -> None:
    got = track.summary(lived)
    assert (got["days"], len(got["weights"])) == (90, 90)
    own = got["targets"]["direction.1d"]
    assert own["labels"] == 4 * 89
    sure = next(r for r in got["confidence"]["direction.1d"] if r["from"] == 0.8)
    assert (sure["calls"], sure["right"]["value"]) == (89, 1.0)
    assert sure["stated"] == 0.9
    unsure = next(r for r in got["confidence"]["direction.1d"] if r["from"] == 0.55)
    assert unsure["calls"] == 3 * 89
    hits = []
    for path in sorted(lived.glob("*/forecast.json"))[:-1]:
        rows = np.flatnonzero(market.session == np.datetime64(path.parent.name))
        rose = growth(market, rows, 1, market.session.max())[0] >= 1
        stated = [f["calibrated"]["up"] for f in json.loads(path.read_text())]
        hits += [(up > 0.5) == up_came for up, up_came in zip(stated, rose, strict=True)][1:]
    assert unsure["right"]["value"] == pytest.approx(np.mean(hits), abs=1e-6)
    assert unsure["right"]["low"] < np.mean(hits) < unsure["right"]["high"]
    assert own["floors"]["base rate"]["verdict"] == "better"
    returns = got["targets"]["returns.1d"]
    assert returns["loss"] == "CRPS"
    assert set(returns["floors"]) == {
        "historical quantiles",
        "historical quantiles, scaled by volatility",
    }
    assert [e["session"][-2:] for e in got["events"]] == ["05"] * 3
    said = track.lines(got)
    assert any(
        "stated 80% to 100%: 89 calls, stated 90.0% on average, right 1.0000" in x for x in said
    )
    parts = "".join(page.section(got, got["sum"]).parts)
    assert "Hits by stated confidence" in parts
    assert "input vol20 rose" in parts


def test_a_label_that_comes_late_is_counted_when_it_comes(market: Market, tmp_path: Path) -> None:
    """A stock that has no bar for a week: its next bar is its next session."""
    days = np.unique(market.session).astype(str).tolist()
    gap = (market.symbol == 1) & np.isin(market.session.astype(str), days[101:106])
    new = np.cumsum(~gap) - 1
    own = ("symbol", "session", "decision_time", "ohlcv", "adj_close", "subset", "channels")
    rows = {name: getattr(market, name)[~gap] for name in own}
    halted = dataclasses.replace(market, **rows, first_row=new[market.first_row[~gap]], texts=None)
    for day in days[100:108]:
        known = cut(halted, day)
        there = known.symbol[known.session == np.datetime64(day)]
        records = [record_of(SYMBOLS[s], 0.6, 0.02) for s in there]
        serve(tmp_path, known, config(), day, records)
    when = {
        (e["session"], s): day
        for day in days[100:108]
        for e in json.loads((tmp_path / day / "track.json").read_text())["labels"]
        if e["target"] == "direction.1d"
        for s in e["symbols"]
    }
    assert when[days[100], "AA"] == days[101]
    assert when[days[100], "BB"] == days[106]


def _edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


def _swap_days(service: Path, first: str, second: str) -> None:
    (service / first).rename(service / "aside")
    (service / second).rename(service / first)
    (service / "aside").rename(service / second)


def _chain(service: Path, change: Callable[[list[str]], list[str]]) -> None:
    path = service / "proof" / "records.jsonl"
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


DAYS = [f"2020-04-{d:02}" for d in range(10, 31)]  # sessions 100 to 120
TAMPERED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a changed number": (
        lambda s: _edit(s / DAYS[3] / "forecast.json", lambda t: t.replace("0.58", "0.57", 1)),
        f"{DAYS[3]} does not fit: its forecast.json is not what was recorded",
    ),
    "another number where it is repeated": (
        lambda s: _edit(s / DAYS[3] / "done.json", lambda t: t.replace("0.015", "0.014", 1)),
        f"{DAYS[3]} does not fit: done.json has other forecasts than forecast.json",
    ),
    "another outcome": (
        lambda s: _edit(
            s / DAYS[4] / "track.json", lambda t: t.replace('"came": [', '"came": [9', 1)
        ),
        f"{DAYS[4]} does not fit: its track.json is not what was recorded",
    ),
    "a removed day": (
        lambda s: shutil.rmtree(s / DAYS[5]),
        f"{DAYS[5]} does not fit: its begun.json is missing",
    ),
    "a day removed with its record": (
        lambda s: (shutil.rmtree(s / DAYS[5]), _chain(s, lambda x: x[:5] + x[6:])),
        f"{DAYS[6]} does not follow {DAYS[4]}: one of their records was edited or moved, or one",
    ),
    "swapped days": (
        lambda s: _swap_days(s, DAYS[2], DAYS[9]),
        f"{DAYS[2]} does not fit: its begun.json is not what was recorded",
    ),
    "swapped records": (
        lambda s: _chain(s, lambda x: [*x[:7], x[8], x[7], *x[9:]]),
        f"{DAYS[8]} does not follow {DAYS[6]}",
    ),
    "an edited record": (
        lambda s: _chain(s, lambda x: [*x[:7], x[7].replace("mmmm", "nnnn"), *x[8:]]),
        f"{DAYS[8]} does not follow {DAYS[7]}",
    ),
    "the last record edited": (
        lambda s: _chain(s, lambda x: [*x[:-1], x[-1].replace("mmmm", "nnnn")]),
        f"{DAYS[-1]} is not the last record that was written, or was edited since",
    ),
    "the last day removed with its record": (
        lambda s: (shutil.rmtree(s / DAYS[-1]), _chain(s, lambda x: x[:-1])),
        f"{DAYS[-2]} is not the last record that was written",
    ),
    "an earlier forecast for one that was never made": (
        lambda s: (s / DAYS[6] / "explanation.json").unlink(),
        f"{DAYS[6]} does not fit: its explanation.json is missing",
    ),
    "a day that was not served": (
        lambda s: shutil.copytree(s / DAYS[-1], s / "2020-05-09"),
        "2020-05-09 was served, but its record is gone",
    ),
}


@pytest.fixture(scope="module")
def month(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    service = tmp_path_factory.mktemp("month") / "service"
    for i, day in enumerate(DAYS):
        records = [record_of(s, 0.58 if i % 2 else 0.42, 0.015) for s in SYMBOLS]
        serve(service, cut(market, day), config(), day, records)
    return service


def test_an_untouched_service_is_proven(month: Path) -> None:
    days, last = proof.verify(month)
    assert days == len(DAYS)
    assert last == proof.sums(month)[DAYS[-1]]
    again = proof.record(month, DAYS[-1], {"model": "m" * 16})
    assert again == last, "a day that a kill left undone is recorded once"
    assert proof.verify(month) == (days, last)


@pytest.mark.parametrize("how", TAMPERED)
def test_the_first_day_that_does_not_fit_is_named(month: Path, tmp_path: Path, how: str) -> None:
    service = tmp_path / "service"
    shutil.copytree(month, service)
    tamper, said = TAMPERED[how]
    tamper(service)
    with pytest.raises(InputError) as refused:
        proof.verify(service)
    assert said in str(refused.value)


def test_a_day_that_was_taken_back_stays_proven(
    month: Path, market: Market, tmp_path: Path
) -> None:
    service = tmp_path / "service"
    shutil.copytree(month, service)
    aside = service / "redone" / f"{DAYS[-1]}-1"
    aside.parent.mkdir()
    proof.take_back(service, DAYS[-1], aside)
    (service / DAYS[-1]).rename(aside)
    records = [record_of(s, 0.7, 0.02) for s in SYMBOLS]
    serve(service, cut(market, DAYS[-1]), config(), DAYS[-1], records)
    assert proof.verify(service)[0] == len(DAYS)
    _edit(aside / "forecast.json", lambda t: t.replace("0.42", "0.41", 1))
    with pytest.raises(InputError, match=f"{DAYS[-1]}.* does not fit: its forecast.json"):
        proof.verify(service)


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no record of served days"):
        proof.verify(tmp_path)
    with pytest.raises(InputError, match="no served day with a track.json; give the folder of a"):
        track.summary(tmp_path)
