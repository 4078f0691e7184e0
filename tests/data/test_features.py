"""Numeric channels: by hand, and unchanged at t when everything after t is deleted."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fusionjax.data import features, schema
from fusionjax.data.sources import sp500


def test_by_hand() -> None:
    close = np.array([10.0, 11, 12, 9, 10, 10])
    bars = schema.check_bars(
        pd.DataFrame(
            {
                "symbol": "A",
                "date": pd.bdate_range("2020-01-02", periods=6).astype(str),
                "open": close,
                "high": close * 2,
                "low": close / 2,
                "close": close,
                "adj_close": close,
                "volume": np.e - 1,
            }
        ),
        "f",
        "XNYS",
    )
    out = features.price_channels(bars)
    assert np.isnan(out["ret"][0])
    np.testing.assert_allclose(out["ret"][1], np.log(1.1))
    np.testing.assert_allclose(out["range"], np.log(4))
    np.testing.assert_allclose(out["close_location"], (0.5 / 1.5) - 0.5)
    np.testing.assert_allclose(out["ma5"][4], np.log(10) - np.log(close[:5]).mean())
    r = np.diff(np.log(close))
    np.testing.assert_allclose(out["vol5"][5], 0.5 * np.log((r**2).mean() + 1e-8))
    assert np.isnan(out["vol5"][4])
    assert np.isnan(out["vol20"]).all()


def test_nothing_after_t_moves_a_feature_at_t() -> None:
    raw = sp500.read(Path(), "XNYS")
    for cut in (40, 1500, 5000):
        again = features.price_channels(raw.bars.iloc[:cut])
        pd.testing.assert_frame_equal(again, raw.channels[list(again)].iloc[:cut], check_exact=True)


def test_market_channels_by_hand() -> None:
    day = pd.to_datetime(["2020-01-02"] * 3 + ["2020-01-03"] * 3)
    bars = pd.DataFrame({"symbol": list("ABCABC"), "date": day})
    ret = pd.Series([0.01, 0.02, -0.03, 0.0, 0.02, 0.04])
    out = features.market_channels(bars, ret, pd.Series(list("xxyxxy")))
    np.testing.assert_allclose(out["market_ret"], [0, 0, 0, 0.02, 0.02, 0.02], atol=1e-12)
    np.testing.assert_allclose(out["market_breadth"], [1 / 6] * 3 + [1 / 6] * 3)
    np.testing.assert_allclose(out["sector_ret"], [0.015, 0.015, -0.03, 0.01, 0.01, 0.04])


def test_vix_is_missing_before_2014_and_context_is_never_stale() -> None:
    raw = sp500.read(Path(), "XNYS")
    before = raw.bars["date"] < "2014-01-03"
    assert raw.channels.loc[before, "vix_level"].isna().all()
    assert raw.channels.loc[~before, "vix_level"].notna().all()
    assert raw.channels["wti_ret"].iloc[1:].notna().all()


@pytest.mark.parametrize("name", ["sp500", "nasdaq", "wti", "vix"])
def test_a_series_is_what_its_package_loads(name: str) -> None:
    expected = importlib.import_module(f"arch.data.{name}").load()
    pd.testing.assert_frame_equal(sp500._load(name), expected, check_exact=True)
