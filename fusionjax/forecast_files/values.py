"""The cells of a file of forecasts: checked, and brought into the units of the labels."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64

from fusionjax.data.samples import realised_log_volatility
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.forecast_files.columns import RETURNS, Column
from fusionjax.forecast_files.rows import refuse
from fusionjax.heads.outside import Given

# Forecasts further from the stock's own trailing volatility are in another unit: in percent they
# are 100 times as large, annual volatility is 16 times a day's.
_RETURN_UNITS, _VOLATILITY_UNITS = 20.0, 8.0
_ROUNDING = 1e-9  # by which quantiles may cross


@dataclasses.dataclass(frozen=True)
class Values:
    """Checks cells and brings them into the units of the labels."""

    path: Path
    market: Market
    shown: pd.DataFrame
    row: Int64[np.ndarray, "N"]
    horizon: Int64[np.ndarray, "N"]

    def given(self, cells: dict[Column, pd.Series]) -> Given:
        """The forecasts of one model, from the numbers of each of its columns."""
        up = log_volatility = None
        points: dict[str, np.ndarray] = {}
        quantiles: dict[float, np.ndarray] = {}
        for column, series in cells.items():
            x = series.to_numpy(float)
            if column.scale == "up":
                up = self._probability(column, x)
            elif column.scale not in RETURNS:
                log_volatility = self._volatility(column, x)
            elif isinstance(column.what, str):
                points[column.what] = self._log_return(column, x)
            else:
                quantiles[column.what] = self._log_return(column, x)
        if "median" in points and quantiles:
            quantiles.setdefault(0.5, points["median"])
        if len(quantiles) == 1:  # no distribution
            points |= {"median": quantiles[0.5]} if 0.5 in quantiles else {}
            quantiles = {}
        quantiles = dict(sorted(quantiles.items()))
        self._ordered(quantiles)
        point = None if quantiles else points.get("median", points.get("mean"))
        return Given(up, quantiles, point, log_volatility)

    def _probability(self, column: Column, x: Float[np.ndarray, "N"]) -> np.ndarray:
        unit = "; divide percent by 100" if np.nanmax(x, initial=0) > 1 else ""
        why = f"{column.name} is {{}}: a probability lies between 0 and 1{unit}"
        self._refuse((x < 0) | (x > 1), x, why)
        return x

    def _volatility(self, column: Column, x: Float[np.ndarray, "N"]) -> np.ndarray:
        if column.scale == "volatility":
            why = f"{column.name} is {{}}: expected the standard deviation of a day, above 0"
            self._refuse(x <= 0, x, why)
            x = np.log(x)
        at, trailing = self._trailing()
        off = np.exp(np.nanmedian(x[at] - trailing)) if np.isfinite(x[at]).any() else 1.0
        if not 1 / _VOLATILITY_UNITS < off < _VOLATILITY_UNITS:
            raise InputError(
                f"{self.path}: column {column.name} is {off:.3g} times the stocks' own volatility "
                "(median over rows); expected a day's, as a fraction: divide percent by 100, "
                f"annual ones by √252{'; log_volatility is its logarithm' if off < 1 else ''}"
            )
        return x

    def _log_return(self, column: Column, x: Float[np.ndarray, "N"]) -> np.ndarray:
        """Log returns; NaN where the file has none, or the row is outside the data."""
        at = np.maximum(self.row, 0)
        if column.scale in ("price", "close"):
            self._refuse(x <= 0, x, f"{column.name} is {{}}: expected a price, above 0")
            own = self.market.adj_close if column.scale == "price" else self.market.ohlcv[:, 3]
            x = np.log(x / own[at].astype(float))
            hint = "price_ is in adj_close's scale, close_ in that of closes as traded"
        else:
            if column.scale == "simple_return":
                why = f"{column.name} is {{}}: expected above -1; divide percent by 100"
                self._refuse(x <= -1, x, why)
                x = np.log1p(x)
            hint = "returns are fractions over the whole horizon: divide percent by 100"
        at, trailing = self._trailing()
        size = np.abs(x[at]) / (np.exp(trailing) * np.sqrt(np.maximum(self.horizon[at], 1)))
        if np.isfinite(size).any() and np.nanmedian(size) > _RETURN_UNITS:
            raise InputError(
                f"{self.path}: column {column.name} means moves of {np.nanmedian(size):.0f} times "
                f"the stocks' own volatility (median over rows); {hint}"
            )
        return x

    def _ordered(self, quantiles: dict[float, np.ndarray]) -> None:
        """Refuses rows where some levels are missing, or quantiles fall as levels rise."""
        if not quantiles:
            return
        some = np.isfinite([*quantiles.values()])
        partly = np.asarray(some.any(0) & ~some.all(0))
        refuse(self.shown, partly, self.path, "some quantiles are missing; give all or none")
        for (low, a), (high, b) in itertools.pairwise(quantiles.items()):
            why = f"quantiles cross: the one at {low:g} is above the one at {high:g}"
            crossed = a > b + _ROUNDING
            refuse(self.shown, crossed, self.path, f"{why}; sort each row's along the levels")

    def _trailing(self) -> tuple[Int64[np.ndarray, "K"], Float[np.ndarray, "K"]]:
        """Forecasts inside the data, and the log volatility of the 20 sessions before each."""
        inside = np.flatnonzero(self.row >= 0)
        return inside, realised_log_volatility(self.market, self.row[inside], -20)

    def _refuse(self, bad: np.ndarray, x: np.ndarray, why: str) -> None:
        first = x[bad][0] if bad.any() else 0.0
        refuse(self.shown, bad, self.path, why.format(f"{first:g}"))
