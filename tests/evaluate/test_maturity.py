"""A label is known with its symbol's own bar: nothing learns from it or is judged by it before."""

import dataclasses
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from conftest import TINY, seeing, small, tiny_market
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionjax.adapt import signals
from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.evaluate import evaluation, losses, selection
from fusionjax.evaluate.inference import Prediction
from fusionjax.heads.base import Scored

SYMBOLS = ("AA", "BB", "CC", "DD", "EE")


def config(**changes: object) -> Config:
    return small(
        seeing({"price": TINY["price"]}),
        Path(),
        data__splits={"train": ("2020-01-01", "2020-07-01"), "dev": ("2020-07-02", "2020-12-01")},
        evaluate__market_channel="ret",
        targets__direction__horizons=(1, 5),
        targets__returns__horizons=(1, 5),
        **changes,
    )


def without(market: Market, gone: np.ndarray) -> Market:
    """The market without the bars of a mask; it has no texts."""
    keep = ~gone
    rows = {
        f.name: getattr(market, f.name)[keep]
        for f in dataclasses.fields(market)
        if getattr(getattr(market, f.name), "shape", (0,))[0] == len(gone)
    }
    rows["first_row"] = np.searchsorted(rows["symbol"], rows["symbol"])
    return dataclasses.replace(market, **rows)


def with_gaps(seed: int, days: int = 200) -> Market:
    """Single bars are missing everywhere; one symbol is suspended for 30 sessions, one delisted."""
    rng = np.random.default_rng(seed)
    market = tiny_market(days, SYMBOLS, seed, texts=False)
    day = np.tile(np.arange(days), len(SYMBOLS))
    suspended = int(rng.integers(60, days - 60))
    return without(
        market,
        (rng.uniform(size=len(day)) < 0.1)
        | ((market.symbol == 1) & (day >= suspended) & (day < suspended + 30))
        | ((market.symbol == 2) & (day > days - 40)),
    )


def known_on(market: Market, row: int, horizon: int) -> np.datetime64:
    """The day of the label's bar, counted by hand."""
    own = market.session[market.symbol == market.symbol[row]]
    later = own[own > market.session[row]]
    return later[horizon - 1] if len(later) >= horizon else np.datetime64("2100-01-01")


def forecasts(market: Market, c: Config, seed: int) -> tuple[samples.Samples, Prediction]:
    """Of every row, at random: what a model would say that knows no price."""
    rng = np.random.default_rng(seed)
    s = samples.between(market, c, market.session.min(), market.session.max())
    wide = np.sort(rng.normal(0, 0.005, (len(s), 2, 5)), -1)
    value = {
        "direction": rng.uniform(0.02, 0.98, (len(s), 2)),
        "returns": wide,
        "volatility": rng.normal(-4.6, 0.1, (len(s), 1)),
    }
    return s, Prediction(value, np.ones((len(s), 1)))


def blind(seed: int, after: int) -> dict[str, bool]:
    """By head, whether prices first known after a day change no calibrated forecast up to it."""
    market, c = with_gaps(seed), config()
    day = market.session.min() + after
    noise = np.exp(np.random.default_rng(seed + 1).normal(0, 0.1, len(market.session)))
    times = np.where(market.session > day, noise, 1.0)
    changed = dataclasses.replace(
        market,
        adj_close=market.adj_close * times,
        ohlcv=market.ohlcv * times[:, None].astype(np.float32) ** np.arange(5, dtype=np.float32),
    )
    made = []
    for m in (market, changed):
        s, prediction = forecasts(m, c, seed)
        calibrated = evaluation.calibrated(prediction, s, m, c)
        made.append({k: v[m.session[s.row] <= day] for k, v in calibrated.items() if v is not None})
    raw = forecasts(market, c, seed)[1].value
    assert all((v != raw[k][: len(v)]).any() for k, v in made[0].items()), "nothing was calibrated"
    return {k: bool((v == made[1][k]).all()) for k, v in made[0].items()}


@given(st.integers(0, 1000), st.integers(100, 190))
@settings(max_examples=8)
def test_no_forecast_is_calibrated_by_a_price_of_later(seed: int, after: int) -> None:
    assert blind(seed, after) == {"direction": True, "returns": True}


def test_counting_the_sessions_of_the_market_would_leak() -> None:
    """The property above can fail: labels dated as if no symbol missed a bar."""
    too_early = property(lambda s: s.start + s.horizon)
    with mock.patch.object(Scored, "end", too_early):
        seen = [blind(seed, 150) for seed in range(6)]
    assert not all(x["returns"] for x in seen)
    assert not all(x["direction"] for x in seen)


@pytest.mark.parametrize("scheme", ["walk_forward", "purged_k_fold", "combinatorial"])
def test_no_label_that_trains_shares_a_session_with_one_that_scores(scheme: str) -> None:
    c = config(selection__scheme=scheme, selection__folds=4, selection__fold_sessions=20)
    first, last = samples.period(c.data, "train")
    for seed in range(4):
        market = with_gaps(seed)
        for train, test in selection.folds(market, c, first, last):
            spans = [
                np.array(
                    [
                        (market.session[s.row[i]], known_on(market, s.row[i], horizon))
                        for name, head in c.targets.items()
                        for at, horizon in enumerate(head.horizons)
                        for i in np.flatnonzero(s.targets.mask[name][:, at])
                    ]
                )
                for s in (train, test)
            ]
            assert (spans[0][:, 1] <= last).all()
            (begins, ends), (since, until) = spans[0].T, spans[1].T
            if scheme == "walk_forward":  # what is scored later is no matter there
                until = since
            days = np.unique(np.stack([since, until], 1), axis=0)
            assert not ((begins[:, None] <= days[:, 1]) & (ends[:, None] >= days[:, 0])).any()


def test_the_drift_watch_sees_a_label_when_a_suspended_symbol_trades_again() -> None:
    c, rng = config(), np.random.default_rng(0)
    market = tiny_market(80, ("AA", "BB"), texts=False)
    back = market.session.min() + 60
    gone = (market.symbol == 1) & (market.session >= back - 30) & (market.session < back)
    market = without(market, gone)
    said = Prediction(
        {
            "direction": rng.uniform(size=(len(market.session), 2)),
            "returns": np.zeros((len(market.session), 2, 5)),
            "volatility": rng.normal(-4.6, 1, (len(market.session), 1)),
        },
        np.ones((len(market.session), 1)),
    )
    got = signals.outputs(market, c, np.array([back]), said.take)
    s = samples.between(market, c, market.session.min(), back)
    for head in losses.judged(c.targets).values():
        loss = losses.sample_losses(said.take(s.row), s, c.targets)[head.loss_title]
        due = np.array([known_on(market, r, head.horizons[0]) == back for r in s.row])
        assert due.sum() == 2, "one of each symbol"
        np.testing.assert_allclose(got[f"error: {head.loss_title}"], [loss[due].mean()])


def test_what_has_no_bar_yet_is_never_known() -> None:
    market = without(tiny_market(20, ("AA", "BB"), texts=False), np.zeros(40, bool))
    bar, exists = samples.known_at(market, np.array([15, 19, 35]), 5)
    assert bar.tolist() == [19, 19, 39]
    assert exists.tolist() == [False, False, False]
    bar, exists = samples.known_at(market, np.array([14, 30]), 5)
    assert bar.tolist() == [19, 35]
    assert exists.tolist() == [True, True]
