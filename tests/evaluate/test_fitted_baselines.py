"""Baselines that are fitted to labels by hand; what they learn is kept, checked and never stale."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import tiny_market
from rich.console import Console
from test_baselines import PERIOD, SCALER, config

from fusionjax import telemetry
from fusionjax.data import samples
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.evaluate import baselines, selection
from fusionjax.experts import features, learners
from fusionjax.heads.base import Scored
from fusionjax.heads.baseline import Baseline
from fusionjax.heads.historical_baselines import (
    EWMAQuantiles,
    WeekdayLevel,
    WeekdayQuantiles,
    WeekdayShare,
    weekday,
)
from fusionjax.heads.volatility_baselines import EWMA, HAR, ewma_log_volatility
from fusionjax.heads.volatility_regressors import garman_klass, multi_scale, parkinson


@pytest.fixture(scope="module")
def market() -> Market:
    """Two stocks whose ranges differ from session to session."""
    m = tiny_market(days=400, symbols=("AA", "BB"))
    ohlcv = m.ohlcv.copy()
    spread = np.exp(0.02 * np.random.default_rng(3).random((len(ohlcv), 3)))
    ohlcv[:, 0] *= spread[:, 0]
    ohlcv[:, 1] = ohlcv[:, [0, 3]].max(1) * spread[:, 1]
    ohlcv[:, 2] = ohlcv[:, [0, 3]].min(1) / spread[:, 2]
    return dataclasses.replace(m, ohlcv=ohlcv)


def of(name: str, market: Market) -> Scored:
    return Scored.of(name, samples.split(market, config(), "train"), market, config())


def learned_and_said(b: Baseline, name: str, market: Market, setting: object = None) -> tuple:
    train, rows = of(name, market), samples.split(market, config(), "dev").row
    learned = b.fit(train, PERIOD[1], setting)
    return train, rows, b.forecast(learned, market, rows)


def test_ranges_by_hand() -> None:
    m = tiny_market(days=10, symbols=("AA",))
    ohlcv = np.tile(np.float32([10, 12, 9, 11, 1]), (len(m.session), 1))
    m = dataclasses.replace(m, ohlcv=ohlcv)
    hl, oc = np.log(12 / 9) ** 2, np.log(11 / 10) ** 2
    np.testing.assert_allclose(parkinson(m), hl / (4 * np.log(2)), rtol=1e-6)
    np.testing.assert_allclose(garman_klass(m), hl / 2 - (2 * np.log(2) - 1) * oc, rtol=1e-6)


@pytest.mark.parametrize("measure", ["returns", "Parkinson"])
def test_har_is_the_least_squares_of_a_day_a_week_and_a_month(measure: str, market: Market) -> None:
    """Against pandas' rolling means and NumPy's least squares, stock by stock."""
    b = HAR("HAR", measures=(measure,))
    train, rows, said = learned_and_said(b, "volatility", market)
    variance = pd.Series(parkinson(market))
    if measure == "returns":
        price = pd.Series(np.log(market.adj_close))
        variance = price.groupby(market.symbol).diff() ** 2
    by_stock = variance.groupby(market.symbol)
    x = pd.DataFrame(
        {n: 0.5 * np.log(by_stock.rolling(n, min_periods=1).mean().to_numpy() + 1e-8)
         for n in (1, 5, 22)}
    )  # fmt: skip
    x.insert(0, "one", 1.0)
    used, y = train.row[train.known], train.label[train.known].astype(float)
    expected = np.linalg.lstsq(x.to_numpy()[used], y, rcond=None)[0]
    np.testing.assert_allclose(said, x.to_numpy()[rows] @ expected, rtol=1e-6)


def test_regressors_of_volatility_by_pandas(market: Market) -> None:
    """Exponential weights within what is remembered of them; returns in units of the month's range
    volatility. 400 sessions a stock, fewer than are remembered."""
    rows = np.array([0, 5, 399, 400, 650])
    got = multi_scale(market, rows)
    returns = pd.Series(np.log(market.adj_close)).groupby(market.symbol).diff()
    expected = []
    for variance in (returns**2, pd.Series(parkinson(market))):
        for age in (1, 5, 25, 125):
            mean = variance.groupby(market.symbol).ewm(com=age, ignore_na=False).mean()
            expected.append(0.5 * np.log(mean.fillna(0).to_numpy()[rows] + 1e-8))
    np.testing.assert_allclose(got[:, 6:14], np.stack(expected, 1), rtol=1e-6)
    month = np.exp(got[:, 5])
    for column, n in zip((14, 15, 16), (1, 5, 22), strict=True):
        mean = returns.groupby(market.symbol).rolling(n, min_periods=1).mean()
        np.testing.assert_allclose(
            got[:, column] * month, mean.fillna(0).to_numpy()[rows], rtol=1e-6, atol=1e-12
        )


def test_ewma_is_the_recursion_of_riskmetrics() -> None:
    """On a long history, where the weights of all that came before add up to 1."""
    m = tiny_market(days=400, symbols=("AA", "BB"))
    rows = np.array([399, 799])
    got = ewma_log_volatility(m, rows, 0.94)
    for row, value in zip(rows, got, strict=True):
        r = np.diff(np.log(m.adj_close[row - 399 : row + 1]))
        variance = r[0] ** 2
        for x in r[1:]:
            variance = 0.94 * variance + 0.06 * x**2
        np.testing.assert_allclose(value, 0.5 * np.log(variance + 1e-8), rtol=1e-6)


def test_ewma_is_shifted_to_the_mean_log_of_training(market: Market) -> None:
    b = EWMA("EWMA")
    train = of("volatility", market)
    learned = b.fit(train, PERIOD[1], 0.9)
    k = train.known
    error = train.label[k] - b.forecast(learned, market, train.row[k])
    np.testing.assert_allclose(error.mean(), 0, atol=1e-6)
    assert len(b.settings) >= 8, "tuned as hard as the others"


def test_weekdays_by_hand(market: Market) -> None:
    assert weekday(market, np.array([0])) == market.session[0].item().weekday()
    train, rows, said = learned_and_said(WeekdayShare(), "direction", market, 10.0)
    k = train.known
    frame = pd.DataFrame(
        {
            "day": pd.DatetimeIndex(market.session[train.row[k]]),
            "rose": train.label[k] == 1,
        }
    )
    one = frame[frame["day"].dt.weekday == 2]
    trust = one["day"].nunique() / (one["day"].nunique() + 10)
    expected = trust * one["rose"].mean() + (1 - trust) * frame["rose"].mean()
    on_wednesdays = pd.DatetimeIndex(market.session[rows]).weekday == 2
    np.testing.assert_allclose(said[on_wednesdays], expected)

    train, rows, said = learned_and_said(WeekdayLevel(), "volatility", market, 1e12)
    own = train.label[train.known & (market.symbol[train.row] == 1)].mean()
    np.testing.assert_allclose(said[market.symbol[rows] == 1], own, rtol=1e-5)


def test_quantiles_by_hand(market: Market) -> None:
    levels = (0.1, 0.5, 0.9)
    b = EWMAQuantiles(levels=levels)
    train, rows, said = learned_and_said(b, "returns", market, 0.9)
    k = train.known
    unit = train.label[k] / np.exp(ewma_log_volatility(market, train.row[k], 0.9))
    now = np.exp(ewma_log_volatility(market, rows, 0.9))
    np.testing.assert_allclose(said, now[:, None] * np.quantile(unit, levels))
    np.testing.assert_allclose(
        b.loss(np.array([[-1.0, 0.0, 2.0]]), np.array([1.0])), [(0.1 * 2 + 0.5 * 1 + 0.1 * 1) / 3]
    )
    _, rows, said = learned_and_said(WeekdayQuantiles(levels=levels), "returns", market, 10.0)
    assert said.shape == (len(rows), 3)
    assert (np.diff(said, axis=1) > 0).all()


@pytest.mark.parametrize("name", ["direction", "returns", "volatility"])
def test_no_baseline_looks_ahead(name: str, market: Market) -> None:
    """Whatever comes after a row can be changed without changing a bit of its forecast."""
    c = config()
    train, rows = of(name, market), samples.split(market, c, "dev").row
    row = rows[market.symbol[rows] == 0][20]
    later = (market.symbol == 0) & (np.arange(len(market.session)) > row)
    changed = dataclasses.replace(
        market,
        adj_close=np.where(later, 1.0, market.adj_close),
        ohlcv=np.where(later[:, None], np.float32(1), market.ohlcv),
    )
    asked = rows[(rows <= row) | (rows >= 400)]
    for b in c.targets[name].baselines():
        learned = b.fit(train, PERIOD[1], b.settings[-1])
        known = market.session[asked] <= market.session[row]  # of the day's other stocks too
        asked_of = asked[known] if getattr(b, "with_market", False) else asked
        before, after = (b.forecast(learned, m, asked_of) for m in (market, changed))
        np.testing.assert_array_equal(before, after, err_msg=b.name)


@pytest.fixture
def few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for grid in ("_PENALTIES", "_TREES"):
        monkeypatch.setattr(learners, grid, getattr(learners, grid)[:2])


class Counted:
    """Fits of baselines, counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        for kind in (HAR, EWMA, WeekdayShare, learners.Linear, learners.Trees):
            fit = kind.fit_group

            def counted(b: Baseline, *args: object, fit: object = fit) -> list:
                self.names.append(b.name)
                return fit(b, *args)  # type: ignore[operator]

            monkeypatch.setattr(kind, "fit_group", counted)


def made(market: Market, cache: Path | None) -> baselines.Baselines:
    c = config()
    train, dev = (samples.split(market, c, n) for n in ("train", "dev"))
    folds = selection.folds(market, c, *PERIOD)
    windows = Windows(market, c, SCALER)
    return baselines.Baselines(windows, train, folds, dev.row, PERIOD[1], cache)


@pytest.mark.usefixtures("few_settings")
def test_kept_ones_say_the_same_to_the_bit_and_are_not_fitted_again(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, counted = config().targets["direction"], Counted(monkeypatch)
    without = made(market, None).fitted("direction", head)
    first = made(market, tmp_path).fitted("direction", head)
    fits = len(counted.names)
    assert fits > 0
    again = made(market, tmp_path).fitted("direction", head)
    assert len(counted.names) == fits, "nothing is fitted where all is kept"
    for name, value in without.items():
        np.testing.assert_array_equal(value, first[name])
        np.testing.assert_array_equal(value, again[name])
    for path in tmp_path.iterdir():
        np.load(path, allow_pickle=False)["key"]


@pytest.mark.usefixtures("few_settings")
def test_a_damaged_or_foreign_entry_is_fitted_again(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    head = config().targets["direction"]
    right = made(market, tmp_path).fitted("direction", head)
    paths = sorted(tmp_path.glob("*.npz"))
    whole = {p: p.read_bytes() for p in paths}
    cut, flipped, foreign = paths[:3]
    cut.write_bytes(whole[cut][:-40])
    flipped.write_bytes(bytes(b ^ (i == 90) for i, b in enumerate(whole[flipped])))
    foreign.write_bytes(whole[cut])
    counted = Counted(monkeypatch)
    again = made(market, tmp_path).fitted("direction", head)
    assert counted.names
    assert capsys.readouterr().out.count("fitted again") == 3
    for name, value in right.items():
        np.testing.assert_array_equal(value, again[name])
    made(market, tmp_path).fitted("direction", head)
    assert "fitted again" not in capsys.readouterr().out, "each is whole again"


@pytest.mark.parametrize("change", ["data", "label", "fold", "scale", "grid"])
def test_what_decides_a_fit_is_in_its_key(
    change: str, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(of: baselines.Baselines) -> list[dict]:
        head = config().targets["direction"]
        each = (*head.baselines(), *learners.learners(head, of._read))
        return [of._key(("direction", 0), b) for b in each]

    before = keys(made(market, None))
    b = made(market, None)
    if change == "data":
        b._windows.market = dataclasses.replace(market, fingerprint="1" * 64)
    elif change == "label":
        label = {k: v.copy() for k, v in b._train.targets.label.items()}
        label["direction"][7] ^= 1
        targets = dataclasses.replace(b._train.targets, label=label)
        b._train = dataclasses.replace(b._train, targets=targets)
    elif change == "fold":
        b._folds = b._folds[1:]
    elif change == "scale":
        mean = {**SCALER.mean, "ret": 1e-3}
        b._windows = Windows(market, config(), dataclasses.replace(SCALER, mean=mean))
    else:
        monkeypatch.setattr(learners, "_PENALTIES", (1.0,))
        monkeypatch.setattr(learners, "_TREES", learners._TREES[:1])
    after = keys(b)
    untouched = {
        "scale": {"Majority", "WeekdayShare"},
        "grid": {"Majority", "WeekdayShare", "Trees {'name': 'LightGBM with HAR'"},
    }.get(change, set())
    for old, new in zip(before, after, strict=True):
        same = any(old["baseline"].startswith(kind) for kind in untouched)
        assert (old == new) == same, old["baseline"]


@pytest.mark.usefixtures("few_settings")
def test_progress_says_what_is_fitted(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(telemetry, "CONSOLE", Console(file=screen, width=120))
    made(market, None).fitted("direction", config().targets["direction"])
    assert "baselines of direction 1d" in screen.getvalue()
    assert "48/48" in screen.getvalue()


def one_class(train: Samples) -> Samples:
    label = {k: np.ones_like(v) for k, v in train.targets.label.items()}
    return dataclasses.replace(train, targets=dataclasses.replace(train.targets, label=label))


def test_labels_of_one_class_teach_a_share_and_no_certainty(market: Market) -> None:
    b = made(market, None)
    b._train, b._folds = one_class(b._train), [(one_class(x), y) for x, y in b._folds]
    said = b.fitted("direction", config().targets["direction"])
    count = b._train.targets.mask["direction"].sum()
    for name in ("logistic regression", "LightGBM"):
        np.testing.assert_allclose(said[name], (count + 1) / (count + 2))


class Given(features.Features):
    """Values that a test may change."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return self.x[rows]


def test_what_is_missing_only_later_is_the_mean(market: Market) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(market.session), 3)) + 5.0
    train = of("volatility", market)
    later = samples.split(market, config(), "dev").row
    train = dataclasses.replace(
        train, label=x[train.row, 0] + 0.01 * rng.normal(size=len(train.row))
    )
    for b in learners.learners(config().targets["volatility"], features.Inputs(*[Given(x)] * 3)):
        learned = b.fit(train, PERIOD[1], b.settings[-1])
        x[later, 0] = np.nan
        missing = b.forecast(learned, market, later)
        x[later, 0] = x[train.row[train.known], 0].mean()
        np.testing.assert_allclose(missing, b.forecast(learned, market, later), err_msg=b.name)
        assert abs(missing.mean() - 5) < 0.2, b.name
