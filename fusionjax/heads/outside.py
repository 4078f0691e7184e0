"""What a file of forecasts gives, in the units of the labels, and how a head is filled from it."""

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from fusionjax.heads.base import Head


@dataclasses.dataclass(frozen=True)
class Given:
    """Forecasts of N rows over one horizon each; NaN where a row has none.

    Attributes:
      up: float [N], the probability that the price rises; None if there is no such column.
      quantiles: log returns over the horizon, float [N] by level, levels rising.
      point: float [N], the mean or median log return, to no known scale; None if there is none.
      log_volatility: float [N], log of the root mean square daily return; None if there is none.
    """

    up: "np.ndarray | None" = None
    quantiles: "dict[float, np.ndarray]" = dataclasses.field(default_factory=dict)
    point: "np.ndarray | None" = None
    log_volatility: "np.ndarray | None" = None


@dataclasses.dataclass(frozen=True)
class Filled:
    """A head and its values of the same rows.

    Attributes:
      head: the one asked, with what the file decides, such as the levels of its quantiles.
      value: float [N, ...], NaN where a row has none.
      calls: the value is a call without a probability: only its order and its side of one half
        count.
    """

    head: "Head"
    value: Any
    calls: bool = False


def chance_above(quantiles: "dict[float, np.ndarray]", threshold: float) -> "np.ndarray":
    """The probability [N] of a value of at least ``threshold``, read off quantiles.

    As for the CRPS, the mass between two levels is spread evenly; beyond the outermost levels
    nothing is known, so the probability stays between them.
    """
    import numpy as np

    levels, x = np.array([*quantiles]), np.stack([*quantiles.values()], 1)
    upper = (x < threshold).sum(1).clip(1, len(levels) - 1)
    rows = np.arange(len(x))
    low, high = x[rows, upper - 1], x[rows, upper]
    width = high - low
    share = np.where(width > 0, (threshold - low) / np.where(width > 0, width, 1), threshold > high)
    below = levels[upper - 1] + np.clip(share, 0, 1) * (levels[upper] - levels[upper - 1])
    return np.where(np.isnan(x).any(1), np.nan, 1 - below)


def rising(given: Given, up: float, down: float) -> "tuple[np.ndarray | None, bool]":
    """The probability [N] of a simple return of at least ``up``, if it is that or below ``down``.

    As given, or read off the quantiles; else, of a point forecast, a number on the same side of one
    half, in the same order: a line keeps correlations.

    Returns:
      The values, None if there are none; and whether they are such calls.
    """
    import numpy as np

    if given.up is not None:
        return given.up, False
    if len(given.quantiles) > 1:
        rises = chance_above(given.quantiles, float(np.log1p(up)))
        falls = 1 - chance_above(given.quantiles, float(np.log1p(down)))
        return rises / (rises + falls), False
    if given.point is None:
        return None, False
    return 0.5 + given.point / (2 * np.nanmax(np.abs(given.point), initial=1e-12)), True
