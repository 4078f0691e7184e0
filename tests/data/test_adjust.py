"""Bars as traded beside an adjusted close: no channel and no chart sees a split or a dividend."""

import numpy as np
import pandas as pd
import pytest
from conftest import tiny_market

from fusionjax.data import adjust, charts, features
from fusionjax.data.audit import lead
from fusionjax.data.store import Market

DAYS, AT = 80, 40
CHANNELS = list(
    features.price_channels(
        pd.DataFrame(
            columns=pd.Index(
                ["symbol", "date", "open", "high", "low", "close", "adj_close", "volume"]
            ),
            dtype=float,
        )
    )
)
SPLITS = [2, 3, 10, 20, 1.5, 2.5, 1.998, 1000, 1 / 2, 1 / 12, 1 / 15, 1 / 35, 2 / 3]
# Shares of the price: dividends, special ones, spin-offs (the last two: Kraft and PMI by Altria).
PAID = [0.01, 0.05, 0.15, 0.30, 0.45, 1 - 1 / 1.3324, 1 - 1 / 3.2424]


def bars(seed: int = 0) -> pd.DataFrame:
    """Two symbols of right bars whose closes are adjusted as they are."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(rng.normal(0, 0.02, (2, DAYS)).cumsum(1)).ravel()
    opened, volume = close * np.exp(rng.normal(0, 0.01, 2 * DAYS)), rng.uniform(1e7, 1e8, 2 * DAYS)
    columns = {
        "open": opened,
        "high": np.maximum(opened, close) * 1.01,
        "low": np.minimum(opened, close) * 0.99,
        "close": close,
        "adj_close": close,
        "volume": volume,
    }
    day = np.tile(pd.bdate_range("2020-01-01", periods=DAYS), 2)
    return pd.DataFrame({"symbol": np.repeat(["A", "B"], DAYS), "date": day, **columns})


def split(table: pd.DataFrame, ratio: float) -> pd.DataFrame:
    """As traded: before day 40 of A a share was worth ``ratio`` times as much."""
    table, before = table.copy(), table.index < AT
    table.loc[before, ["open", "high", "low", "close"]] *= ratio
    table.loc[before, "volume"] /= ratio
    return table.round({"open": 4, "high": 4, "low": 4, "close": 4, "adj_close": 4})


def paid(table: pd.DataFrame, share: float) -> pd.DataFrame:
    """Before day 40 of A its price held a dividend too."""
    table, before = table.copy(), table.index < AT
    table.loc[before, ["open", "high", "low", "close"]] /= 1 - share
    return table


def matrix(table: pd.DataFrame) -> np.ndarray:
    values = table[["open", "high", "low", "close", "volume"]].to_numpy(float)
    first = np.repeat([0, DAYS], DAYS)
    return adjust.adjusted(values, table["adj_close"].to_numpy(float), first)


@pytest.mark.parametrize("channel", CHANNELS)
def test_no_channel_sees_a_split_or_a_dividend(channel: str) -> None:
    right = features.price_channels(bars())[channel]
    for changed in (*(split(bars(), r) for r in SPLITS), *(paid(bars(), s) for s in PAID)):
        seen = features.price_channels(changed)[channel]
        np.testing.assert_allclose(seen, right, atol=2e-3)
    assert right.std() > 0.005, "it moves by more than is allowed here"


@pytest.mark.parametrize("ratio", SPLITS)
def test_volume_is_in_shares_of_the_first_bar(ratio: float) -> None:
    traded = split(bars(), ratio)
    np.testing.assert_allclose(
        matrix(traded)[:, 4], bars()["volume"] / np.repeat([ratio, 1], [DAYS, DAYS]), rtol=2e-3
    )


@pytest.mark.parametrize("share", PAID)
def test_a_dividend_leaves_volume_as_it_is(share: float) -> None:
    np.testing.assert_allclose(matrix(paid(bars(), share))[:, 4], bars()["volume"])


def test_a_row_depends_on_no_later_one() -> None:
    table = split(paid(bars(), 0.1), 7)
    values = table[["open", "high", "low", "close", "volume"]].to_numpy(float)
    close, first = table["adj_close"].to_numpy(float), np.zeros(AT - 1, np.int64)
    cut = adjust.adjusted(values[: AT - 1], close[: AT - 1], first)
    np.testing.assert_array_equal(cut, matrix(table)[: AT - 1])


def of(table: pd.DataFrame) -> Market:
    market = tiny_market(days=DAYS, texts=False)
    values = table[["open", "high", "low", "close", "volume"]].to_numpy(np.float32)
    object.__setattr__(market, "ohlcv", values)
    object.__setattr__(market, "adj_close", table["adj_close"].to_numpy(float))
    return market


@pytest.mark.parametrize("ratio", [10, 1 / 15])
def test_a_chart_across_a_split_is_that_of_the_adjusted_bars(ratio: float) -> None:
    rows = np.array([AT + 3])

    def drawn(table: pd.DataFrame) -> np.ndarray:
        market = of(table)
        at, exists = market.look_back(rows, 16)
        return charts.draw(market.adjusted[at], exists, 60)

    right, seen = drawn(bars()), drawn(split(bars(), ratio))
    # A price on the border of two pixels may round to either.
    assert (right != seen).mean() < 0.01
    assert (right > 0).mean() > 0.05


def test_the_search_for_leaks_sees_no_split() -> None:
    right, seen = (lead._past(of(table)) for table in (bars(), split(bars(), 10)))
    level = [2, 5, 6, 15, 16]  # log volumes: their changes count, in shares of the first bar
    moved = np.delete(right - seen, level, axis=1)
    np.testing.assert_allclose(moved, 0, atol=2e-2)
