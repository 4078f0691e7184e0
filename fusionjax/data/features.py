"""Numeric features of daily bars. Each one at session t uses bars up to and including t only."""

import numpy as np
import pandas as pd

from fusionjax.data import adjust


def price_channels(bars: pd.DataFrame) -> pd.DataFrame:
    """Features of each symbol's own bars, adjusted for splits and dividends (``adjust``).

    ``ret`` log return of the close · ``gap`` log(open / previous close) · ``range`` log(high / low)
    · ``close_location`` where in the day's range it closed, -0.5..0.5 · ``volume_change`` log
    change of volume · ``volume_level`` log volume over its 20-session mean · ``maN`` log of the
    close over its N-session mean · ``volN`` log of the root mean square return over N sessions.

    Args:
      bars: checked bars as traded, sorted by symbol and date.

    Returns:
      One float column a channel, NaN where the history is too short.
    """
    by = bars["symbol"]
    traded = bars[["open", "high", "low", "close", "volume"]].to_numpy(float)
    ohlcv = adjust.adjusted(traded, bars["adj_close"].to_numpy(float), adjust.first_rows(by))
    adjusted = np.log(bars["adj_close"])
    log_volume = pd.Series(np.log1p(ohlcv[:, 4]), bars.index)
    ret = adjusted.groupby(by).diff()
    _, high, low, close, _ = traded.T
    spread = high - low
    location = np.divide(close - low, spread, where=spread > 0, out=np.full(len(bars), 0.5)) - 0.5
    return pd.DataFrame(
        {
            "ret": ret,
            "gap": np.log(ohlcv[:, 0]) - adjusted.groupby(by).shift(),
            "range": np.log(high / low),
            "close_location": location,
            "volume_change": log_volume.groupby(by).diff(),
            "volume_level": log_volume - _rolling(log_volume, by, 20),
            **{f"ma{n}": adjusted - _rolling(adjusted, by, n) for n in (5, 10, 20, 30)},
            **{f"vol{n}": 0.5 * np.log(_rolling(ret**2, by, n) + 1e-8) for n in (5, 20)},
        }
    )


def market_channels(bars: pd.DataFrame, ret: pd.Series, sectors: pd.Series) -> pd.DataFrame:
    """Features of the whole market on each session, one row for each row of ``bars``.

    ``market_ret`` mean log return over the symbols that traded · ``market_dispersion`` its
    cross-sectional standard deviation · ``market_breadth`` share that rose, less a half ·
    ``market_vol20`` log root mean square of ``market_ret`` over 20 sessions · ``sector_ret`` mean
    return of the stock's sector.
    """
    by_day = ret.groupby(bars["date"])
    rose = (ret > 0).astype(float).where(ret.notna())
    market = by_day.mean()
    rolling = (market**2).rolling(20).mean()
    day = pd.DataFrame(
        {
            "market_ret": market,
            "market_dispersion": by_day.std(),
            "market_breadth": rose.groupby(bars["date"]).mean() - 0.5,
            "market_vol20": 0.5 * np.log(rolling + 1e-8),
        }
    )
    rows = day.reindex(bars["date"]).reset_index(drop=True)
    rows["sector_ret"] = ret.groupby([bars["date"], sectors]).transform("mean")
    return rows


def _rolling(values: pd.Series, by: pd.Series, n: int) -> pd.Series:
    return values.groupby(by).rolling(n).mean().reset_index(level=0, drop=True)
