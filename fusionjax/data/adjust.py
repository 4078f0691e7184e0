"""Bars as traded, brought to the scale of the adjusted close."""

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64, Int64

_LEAST = np.log(1.4)  # of a split's ratio; a smaller one moves volume less than a day's noise
_TOLERANCE = 0.005  # prices are rounded, and a dividend may fall on the same day


def adjusted(
    ohlcv: Float[np.ndarray, "R 5"],
    adj_close: Float64[np.ndarray, "R"],
    first_row: Int64[np.ndarray, "R"],
) -> Float64[np.ndarray, "R 5"]:
    """Open, high, low and close in the scale of ``adj_close``, volume in shares of the first bar.

    A row depends on no later one.

    Args:
      ohlcv: as traded, rows by symbol and session.
      adj_close: adjusted for splits and dividends.
      first_row: of each row's symbol.
    """
    values = ohlcv.astype(np.float64)
    shares = log_shares(values[:, 3], adj_close, first_row)
    values[:, :4] *= (adj_close / values[:, 3])[:, None]
    values[:, 4] *= np.exp(-shares)
    return values


def log_shares(
    close: Float64[np.ndarray, "R"],
    adj_close: Float64[np.ndarray, "R"],
    first_row: Int64[np.ndarray, "R"],
) -> Float64[np.ndarray, "R"]:
    """Log of the shares that one of the symbol's first bar has become by each row.

    A split is read off the bars: on its day ``adj_close / close`` moves by its ratio, as it does by
    a dividend's. What falls is a reverse split; what rises is a split where the ratio is a multiple
    of a half, else a large dividend or a spin-off, which leave the number of shares as it is.
    """
    step = np.diff(np.log(adj_close / close), prepend=0.0)
    step[first_row] = 0.0
    ratio = np.maximum(np.rint(2 * np.exp(np.minimum(step, 50))), 1) / 2
    split = (step < 0) | (np.abs(step - np.log(ratio)) < _TOLERANCE)
    total = np.cumsum(np.where(split & (np.abs(step) > _LEAST), step, 0.0))
    return total - total[first_row]


def first_rows(symbol: pd.Series) -> Int64[np.ndarray, "R"]:
    """The first row of each row's symbol, where rows are sorted by symbol."""
    begins = (symbol != symbol.shift()).to_numpy()
    return np.maximum.accumulate(np.where(begins, np.arange(len(symbol)), 0))
