"""Baselines: rules by hand, learners that find a planted signal, folds that never look ahead."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from arch import arch_model
from conftest import TINY, seeing, small, tiny_market

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.evaluate import baselines, selection
from fusionjax.heads.base import Scored
from fusionjax.heads.historical_baselines import Majority
from fusionjax.heads.volatility_baselines import GARCH


def config() -> Config:
    return small(
        seeing({k: TINY[k] for k in ("price", "text")}),
        Path(),
        data__splits={"train": ("2020-01-01", "2020-10-01"), "dev": ("2020-10-02", "2021-01-20")},
        selection__folds=3,
        selection__fold_sessions=20,
        evaluate__market_channel="ret",
        targets__volatility__horizons=(1,),
    )


@pytest.fixture(scope="module")
def market() -> Market:
    """Tomorrow's return is today's first lexicon score, in sign, most of the time."""
    m = tiny_market(days=400, symbols=("AA", "BB"))
    texts = m.texts
    assert texts is not None
    tomorrow = np.nan_to_num(np.roll(m.channels[:, 0], -1))
    texts.lexicon[:, 0] = np.sign(tomorrow[texts.bar]) + 0.3 * texts.lexicon[:, 0]
    return m


PERIOD = np.datetime64("2020-01-01"), np.datetime64("2020-10-01")
SCALER = Scaler({"ret": 0.0, "vol20": -4.6}, {"ret": 0.01, "vol20": 1.0})


def of(name: str, train: Samples, market: Market) -> Scored:
    return Scored.of(name, train, market, config())


def test_rules_by_hand(market: Market) -> None:
    c = config()
    train = samples.split(market, c, "train")
    rows = samples.split(market, c, "dev").row
    said = c.targets["direction"].rules(of("direction", train, market), PERIOD[1], rows)
    rose = market.channels[rows, 0] >= 0
    np.testing.assert_array_equal(said["momentum: as the last day"], rose)
    np.testing.assert_array_equal(said["reversal of the stock's last day"], ~rose)
    assert (said["reversal of the market's last day"] == ~rose).all(), "the channel named"
    share = (train.targets.label["direction"][:, 0] == 1).mean()
    majority = Majority()
    learned = majority.fit(of("direction", train, market), PERIOD[1], None)
    np.testing.assert_allclose(majority.forecast(learned, market, rows), share)
    past = c.targets["volatility"].rules(of("volatility", train, market), PERIOD[1], rows)
    past = past["persistence: last 1 sessions"]
    np.testing.assert_allclose(
        past, 0.5 * np.log(market.channels[rows, 0].astype(float) ** 2 + 1e-8), rtol=1e-4
    )


def test_the_market_is_the_mean_of_the_stocks_where_no_channel_is_named(market: Market) -> None:
    days = len(market.session) // 2
    both = market.channels[:, 0].reshape(2, days).astype(float)
    both[0, 5] = np.nan
    holed = dataclasses.replace(
        market, channels=np.stack([both.ravel(), market.channels[:, 1]], 1).astype(np.float32)
    )
    got = holed.market_return("").reshape(2, days)
    np.testing.assert_allclose(got[0], got[1])
    np.testing.assert_allclose(got[0, 1:5], both[:, 1:5].mean(0), rtol=1e-5)
    assert got[0, 5] == pytest.approx(both[1, 5])
    assert np.isnan(got[0, 0]), "nobody has a return on the first day"
    abroad = dataclasses.replace(
        holed, decision_time=holed.decision_time + np.where(holed.symbol == 1, 3600, 0)
    )
    np.testing.assert_allclose(abroad.market_return(""), both.ravel(), rtol=1e-6)
    with pytest.raises(InputError, match="config.evaluate.market_channel: channel 'index' is not"):
        market.market_return("index")


def test_learners_find_a_planted_signal(market: Market) -> None:
    c = config()
    train, dev = (samples.split(market, c, n) for n in ("train", "dev"))
    windows = Windows(market, c, SCALER)
    folds = selection.folds(market, c, *PERIOD)
    fitted = baselines.Baselines(windows, train, folds, dev.row, PERIOD[1])
    direction = fitted.fitted("direction", c.targets["direction"])
    for name in ("logistic regression", "LightGBM"):
        up = direction[name]
        right = ((up > 0.5) == (dev.targets.label["direction"][:, 0] == 1)).mean()
        assert right > 0.65, f"{name} found {right:.2f}"
    assert all(
        np.isfinite(v).all() for v in fitted.fitted("volatility", c.targets["volatility"]).values()
    )


def test_folds_learn_only_from_before_their_window(market: Market) -> None:
    c = config()
    folds = selection.folds(market, c, *PERIOD)
    last_train_day = np.datetime64(c.data.splits["train"][1])
    for before, after in folds:
        assert before.target_day.max() < after.target_day.min()
        assert len(np.unique(after.target_day)) == 20
        assert after.target_day.max() <= last_train_day
    assert [f[1].target_day.min() for f in folds] == sorted(f[1].target_day.min() for f in folds)
    too_many = c.override({"selection.fold_sessions": 80})
    with pytest.raises(InputError, match="3 folds of 80 sessions need twice as many"):
        selection.folds(market, too_many, *PERIOD)


@pytest.mark.parametrize("scheme", ["walk_forward", "purged_k_fold", "combinatorial"])
def test_no_label_that_trains_reaches_into_what_scores(market: Market, scheme: str) -> None:
    c = config().override(
        {"selection.scheme": scheme, "targets.volatility.horizons": (7,), "selection.embargo": 2}
    )
    sessions = np.unique(market.session)
    folds = selection.folds(market, c, *PERIOD)
    assert len(folds) == 3
    for before, after in folds:
        trained, tested = (
            np.searchsorted(sessions, market.session[s.row]) for s in (before, after)
        )
        spanned = trained[:, None] + np.arange(8)  # the decision and the seven sessions after it
        assert not np.isin(spanned, tested).any()
        reached = tested[:, None] + np.arange(8)
        assert not np.isin(trained, reached).any()


def test_return_quantiles_by_rule(market: Market) -> None:
    c = config()
    train = samples.split(market, c, "train")
    rows = samples.split(market, c, "dev").row
    said = c.targets["returns"].rules(of("returns", train, market), PERIOD[1], rows)
    past = train.targets.label["returns"][train.targets.mask["returns"][:, 0], 0].astype(float)
    levels = c.targets["returns"].quantiles
    np.testing.assert_allclose(said["historical quantiles"][5], np.quantile(past, levels))
    scaled = said["historical quantiles, scaled by volatility"]
    assert scaled.shape == (len(rows), len(levels))
    wide = scaled[:, -1] - scaled[:, 0]
    volatility = samples.realised_log_volatility(market, rows, -20)
    np.testing.assert_allclose(np.log(wide / wide[0]), volatility - volatility[0], atol=1e-9)


def garch_forecast(m: Market, c: Config, last: np.datetime64, rows: np.ndarray) -> np.ndarray:
    train = Scored.of("volatility", samples.between(m, c, m.session[0], last), m, c)
    model = GARCH("GARCH(1, 1)", horizon=1)
    return model.forecast(model.fit(train, last, None), m, rows)


def test_garch_is_filtered_with_what_training_taught() -> None:
    """Against the recursion by hand, with arch's own estimates; the future is never looked at."""
    m = tiny_market(days=700, symbols=("AA",))
    c, last = config(), m.session[500]
    rows = np.arange(520, 600)
    said = garch_forecast(m, c, last, rows)
    r = 100 * np.diff(np.log(m.adj_close))
    fitted = arch_model(r[:500], mean="Zero", rescale=False).fit(disp="off", show_warning=False)
    omega, alpha, beta = fitted.params
    variance = np.empty(len(r) + 1)
    variance[0] = fitted.conditional_volatility[0] ** 2
    for t in range(len(r)):
        variance[t + 1] = omega + alpha * r[t] ** 2 + beta * variance[t]
    log = 0.5 * np.log(variance) - np.log(100)  # of the day after each row
    past = np.arange(1, 500)
    shift = (samples.realised_log_volatility(m, past, 1) - log[past]).mean()
    np.testing.assert_allclose(said, log[rows] + shift, atol=0.02)
    cut = dataclasses.replace(m, adj_close=np.where(np.arange(700) > 560, 1.0, m.adj_close))
    again = garch_forecast(cut, c, last, rows)
    np.testing.assert_array_equal(again[rows <= 560], said[rows <= 560])
