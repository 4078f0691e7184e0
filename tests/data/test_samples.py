"""Labels by hand, maturity at the split's edge, and the published counts of ACL18."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import small, tiny_market

from fusionjax.configs import acl18 as acl18_config
from fusionjax.configs import demo
from fusionjax.data import samples
from fusionjax.data.sources import acl18
from fusionjax.data.store import Market
from fusionjax.errors import InputError


def test_labels_by_hand() -> None:
    market = tiny_market(days=12, symbols=("AA",))
    price = market.adj_close
    config = small(
        demo.get_config(),
        Path(),
        data__min_history=2,
        targets__returns__horizons=(1, 3),
        targets__volatility__horizons=(2,),
    )
    s = samples.between(market, config, np.datetime64("2020-01-01"), np.datetime64("2020-02-01"))
    assert s.row.tolist() == list(range(2, 11))
    assert (s.target_day == market.session[s.row + 1]).all()
    i, r = 3, 5
    assert s.row[i] == r
    assert s.targets.label["direction"][i, 0] == (price[r + 1] >= price[r])
    np.testing.assert_allclose(
        s.targets.label["returns"][i],
        [np.log(price[r + 1] / price[r]), np.log(price[r + 3] / price[r])],
        rtol=1e-5,
    )
    moves = np.diff(np.log(price))[r : r + 2]
    np.testing.assert_allclose(
        s.targets.label["volatility"][i, 0], 0.5 * np.log((moves**2).mean() + 1e-8), rtol=1e-5
    )
    # Nothing is known three sessions ahead of the last two samples.
    assert s.targets.mask["returns"][:, 1].tolist() == [True] * 7 + [False] * 2


def test_a_label_counts_only_if_it_matures_inside_the_split() -> None:
    market = tiny_market(days=30, symbols=("AA",))
    config = small(demo.get_config(), Path(), targets__volatility__horizons=(5,))
    last = np.datetime64("2020-01-20")
    s = samples.between(market, config, np.datetime64("2020-01-01"), last)
    assert s.target_day.max() == last
    end = market.session[s.row + 5]
    assert (s.targets.mask["volatility"][:, 0] == (end <= last)).all()
    assert not s.targets.mask["volatility"][-1, 0]
    assert s.targets.mask["direction"][:, 0].all()


def test_symbols_do_not_run_into_each_other() -> None:
    market = tiny_market(days=10)
    config = small(demo.get_config(), Path())
    s = samples.between(market, config, np.datetime64("2020-01-01"), np.datetime64("2020-02-01"))
    assert (market.symbol[s.row] == market.symbol[s.row + 1]).all()
    assert (s.row - market.first_row[s.row]).min() == config.data.min_history


def test_thresholds_drop_the_middle() -> None:
    market = tiny_market(days=40, symbols=("AA",))
    config = small(
        demo.get_config(), Path(), targets__direction__up=0.0055, targets__direction__down=-0.005
    )
    s = samples.between(market, config, np.datetime64("2020-01-01"), np.datetime64("2020-03-01"))
    move = market.adj_close[s.row + 1] / market.adj_close[s.row] - 1
    assert (s.targets.mask["direction"][:, 0] == ((move >= 0.0055) | (move < -0.005))).all()
    assert 0 < s.targets.mask["direction"].sum() < len(s)


def test_split_outside_the_data_is_refused() -> None:
    config = small(demo.get_config(), Path())
    with pytest.raises(
        InputError,
        match=r"splits.dev is 2017-01-01 to 2018-12-31.*no\s+sample: "
        r"it runs from 2020-01-01 to 2020-02-09",
    ):
        samples.split(tiny_market(), config, "dev")


@pytest.mark.shared_data
def test_acl18_counts_are_the_published_ones(acl18_root: Path) -> None:
    raw = acl18.read(acl18_root, "XNYS")
    bars = raw.bars
    symbols, symbol = np.unique(bars["symbol"], return_inverse=True)
    market = Market(
        "0" * 64,
        tuple(symbols),
        tuple(raw.channels),
        symbol.astype(np.int32),
        bars["date"].to_numpy().astype("datetime64[D]"),
        np.zeros(len(bars), np.int64),
        np.zeros((len(bars), 5), np.float32),
        bars["adj_close"].to_numpy(),
        raw.subset,
        raw.channels.to_numpy(np.float32),
        np.searchsorted(symbol, symbol),
        None,
    )
    config = small(acl18_config.get_config(), Path())
    counts = {}
    for name in ("train", "dev"):
        s = samples.split(market, config, name)
        scored, up = s.targets.mask["direction"][:, 0], s.targets.label["direction"][:, 0] == 1
        aligned = scored & s.subset
        counts[name] = (
            scored.sum(),
            (scored & up).sum(),
            (scored & ~up).sum(),
            aligned.sum(),
            (aligned & up).sum(),
            (aligned & ~up).sum(),
        )
    assert counts["train"] == (20339, 10318, 10021, 4987, 2580, 2407)
    assert counts["dev"] == (2555, 1139, 1416, 656, 320, 336)


FIRST, LAST = np.datetime64("2020-01-01"), np.datetime64("2020-02-29")
TASK = {
    "targets__returns__horizons": (1, 3),
    "targets__volatility__horizons": (2,),
    "targets__direction__horizons": (1, 2),
}


def ends(market: Market, s: samples.Samples, horizons: tuple[int, ...]) -> np.ndarray:
    """The day on which each label is known."""
    last = market.last_row[s.row]
    return np.stack([market.session[np.minimum(s.row + h, last)] for h in horizons], axis=1)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_the_meta_set_is_later_than_every_label_before_it(share: float) -> None:
    market = tiny_market(days=60)
    config = small(demo.get_config(), Path(), **TASK)
    cut = samples.training_data(market, config, FIRST, LAST, share)
    assert cut.inner is not None
    assert cut.meta is not None
    begin = cut.meta.target_day.min()
    for mask, horizons in (
        (cut.inner.targets.mask["direction"], (1, 2)),
        (cut.inner.targets.mask["returns"], (1, 3)),
        (cut.inner.targets.mask["volatility"], (2,)),
    ):
        known = ends(market, cut.inner, horizons)[mask]
        assert known.max() < begin, "a base label is known only inside the meta set"
        assert known.max() == begin - 1, "no label is given up that need not be"
    # Labels are cut there, samples are not: the day before the meta set is still a sample.
    assert cut.inner.target_day.max() == begin - 1
    assert not cut.inner.targets.mask["returns"][cut.inner.target_day == begin - 1, 1].any()


def test_the_meta_set_is_the_latest_share_of_the_sessions() -> None:
    market = tiny_market(days=60, symbols=("AA", "BB", "CC"))
    config = small(demo.get_config(), Path(), **TASK)
    cut = samples.training_data(market, config, FIRST, LAST, 0.4)
    assert cut.inner is not None
    assert cut.meta is not None
    days = np.unique(cut.all.target_day)
    assert len(days) == 54
    assert cut.meta_sessions == 54 - round(0.6 * 54) == 22, "three stocks, and each day once"
    assert len(cut.meta) == 3 * 22
    np.testing.assert_array_equal(np.unique(cut.meta.target_day), days[-22:])
    np.testing.assert_array_equal(
        np.sort(np.concatenate([cut.inner.row, cut.meta.row])), np.sort(cut.all.row)
    )
    # The meta set's own labels are what they are in the whole.
    at = np.searchsorted(cut.all.row, cut.meta.row)
    np.testing.assert_array_equal(
        cut.meta.targets.mask["returns"], cut.all.targets.mask["returns"][at]
    )


def test_a_share_of_nothing_makes_no_cut() -> None:
    market = tiny_market(days=60)
    cut = samples.training_data(market, small(demo.get_config(), Path()), FIRST, LAST, 0.0)
    assert (cut.inner, cut.meta, cut.meta_sessions) == (None, None, 0)
    assert len(cut.all) == 2 * 54


def test_too_short_a_period_is_refused_with_the_numbers() -> None:
    market = tiny_market(days=60)
    config = small(demo.get_config(), Path())
    one_day = np.datetime64("2020-01-07")
    with pytest.raises(
        InputError,
        match=r"meta_fraction is 0.4: of the 1 sessions from 2020-01-07 to 2020-01-07 it leaves 0 "
        r"samples before the meta set and 2 in it; train on a longer period",
    ):
        samples.training_data(market, config, one_day, one_day, 0.4)
    with pytest.raises(InputError, match=r"of the 0 sessions .* leaves 0 samples before .* 0 in"):
        samples.training_data(market, config, FIRST, FIRST, 0.4)


def test_a_class_that_the_meta_set_lacks_is_named() -> None:
    market = tiny_market(days=60, symbols=("AA",))
    config = small(demo.get_config(), Path(), **TASK)
    rising = market.adj_close.copy()
    rising[-30:] = rising[-31] * 1.01 ** np.arange(1, 31)
    market = dataclasses.replace(market, adj_close=rising)
    with pytest.raises(
        InputError, match=r"no sample of class down is in the meta set, 2020-02-\d\d to 2020-02-29"
    ):
        samples.training_data(market, config, FIRST, LAST, 0.4)
    cut = samples.training_data(market, config, FIRST, LAST, 0.8)  # reaches further back
    assert cut.meta is not None


def test_recent_volatility_by_hand() -> None:
    """Three days of a stock with ranges and gaps: .8², .8 and 1 are their weights."""
    market = tiny_market(days=4, symbols=("AA", "BB"))
    open_, high, low, close = np.log(market.ohlcv[:, :4].astype(float)).T
    gap = np.diff(np.log(market.adj_close), prepend=np.nan) - (close - open_)
    day = gap**2 + (high - low) ** 2 / (4 * np.log(2))
    for last in (3, 7):
        wanted = np.average(day[last - 2 : last + 1], weights=[0.64, 0.8, 1])
        got = samples.recent_log_volatility(market, np.array([last]))
        np.testing.assert_allclose(got, 0.5 * np.log(wanted + 1e-8), rtol=1e-6)
    first = samples.recent_log_volatility(market, np.array([0, 4]))
    np.testing.assert_allclose(first, np.log(1e-4))  # no day before: the floor


def test_recent_volatility_knows_no_scale_and_nothing_later() -> None:
    """Prices as traded, ten times as high before a split, say the same; later bars say nothing."""
    market = tiny_market(days=60)
    rows = np.arange(25, 40)
    traded = market.ohlcv.copy()
    traded[:30, :4] *= 10
    wanted = samples.recent_log_volatility(market, rows)
    split = dataclasses.replace(market, ohlcv=traded)
    np.testing.assert_allclose(samples.recent_log_volatility(split, rows), wanted, rtol=1e-4)
    traded[40:60, :4] *= np.random.default_rng(0).uniform(0.5, 2, (20, 4))
    later = dataclasses.replace(split, ohlcv=traded)
    np.testing.assert_array_equal(
        samples.recent_log_volatility(later, rows), samples.recent_log_volatility(split, rows)
    )


def test_recent_volatility_sees_a_jump_on_its_first_day() -> None:
    market = tiny_market(days=200, symbols=("AA",))
    bars = market.ohlcv.copy()
    bars[100:, 1], bars[100:, 2] = 1.05 * bars[100:, 3], 0.95 * bars[100:, 3]
    wild = dataclasses.replace(market, ohlcv=bars)
    before, after = samples.recent_log_volatility(wild, np.array([99, 100]))
    assert after - before > np.log(1.5)
