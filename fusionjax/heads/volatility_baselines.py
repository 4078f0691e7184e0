"""Volatility by the models in use: HAR on returns and on ranges, EWMA, GARCH.

All but GARCH have one set of coefficients for all stocks, as in RiskMetrics (1996) and in the panel
regressions of Bollerslev, Hood, Huss & Pedersen ("Risk Everywhere", 2018); GARCH has one a stock.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64

from fusionjax.data.samples import realised_log_volatility
from fusionjax.data.store import Market
from fusionjax.heads.baseline import Baseline, Learned
from fusionjax.heads.volatility_regressors import FLOOR, har, squared_returns, with_market

if TYPE_CHECKING:
    from fusionjax.heads.base import Scored

RISK_METRICS = 0.94  # a day, of RiskMetrics (1996)
DECAYS = (0.80, 0.86, 0.90, 0.92, 0.94, 0.96, 0.975, 0.99)
_YEAR = 250  # returns that a GARCH needs


def ewma_log_volatility(
    market: Market, rows: Int64[np.ndarray, "S"], decay: float
) -> Float64[np.ndarray, "S"]:
    """Log volatility by exponential weights over the squared returns up to each row.

    The weights of a symbol's returns add up to 1, however short its history.
    """
    import pandas as pd

    squares = pd.Series(squared_returns(market))
    smooth = squares.groupby(market.symbol).ewm(alpha=1 - decay, adjust=True).mean()
    # Rows are ordered by symbol, so groups side by side are the rows again.
    return 0.5 * np.log(np.nan_to_num(smooth.to_numpy()[rows]) + FLOOR)


@dataclasses.dataclass(frozen=True)
class HAR(Baseline):
    """Log volatility on logs of its mean over a day, a week and a month (Corsi, 2009), by least
    squares straight to the horizon.

    Own lines, as ``arch``'s HARX fits one series to its own next value, and this is one regression
    for all stocks with a label of its own.
    """

    measures: tuple[str, ...] = ("returns",)  # keys of ``_MEASURES``
    with_market: bool = False  # also on the means of these over the day's stocks

    def fit(self, train: "Scored", last: np.datetime64, setting: Any) -> Learned:
        k = train.known
        x = self._inputs(train.market, train.row[k])
        return {"coefficients": np.linalg.lstsq(x, train.label[k].astype(float), rcond=None)[0]}

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        return self._inputs(market, rows) @ learned["coefficients"]

    def _inputs(self, market: Market, rows: np.ndarray) -> np.ndarray:
        compute = functools.partial(har, measures=self.measures)
        x = with_market(market, rows, compute) if self.with_market else compute(market, rows)
        return np.column_stack([np.ones(len(rows)), x])


@dataclasses.dataclass(frozen=True)
class EWMA(Baseline):
    """Exponentially weighted squared returns; a setting is the weight of yesterday's variance.

    It forecasts a mean of squares, so its logs are shifted by their mean error in training.
    """

    settings: tuple[float, ...] = DECAYS

    def fit(self, train: "Scored", last: np.datetime64, setting: float) -> Learned:
        k = train.known
        error = train.label[k] - ewma_log_volatility(train.market, train.row[k], setting)
        return {"decay": np.array(setting), "shift": error.mean()}

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        return ewma_log_volatility(market, rows, float(learned["decay"])) + learned["shift"]


@dataclasses.dataclass(frozen=True)
class GARCH(Baseline):
    """GARCH(1, 1) (Bollerslev, 1986), fitted to each symbol's returns up to ``last`` and filtered
    after it.

    As it forecasts a mean of squares, its logs are shifted by their mean error up to ``last``. A
    symbol with less than a year of returns gets its last 20 sessions instead.
    """

    horizon: int = 1

    def fit(self, train: "Scored", last: np.datetime64, setting: Any) -> Learned:
        from arch import arch_model

        market, count = train.market, len(train.market.symbols)
        known, shift = np.zeros(count, int), np.zeros(count)
        parameters = np.full((count, 3), np.nan)
        for symbol in range(count):
            own, returns = _returns(market, symbol)
            known[symbol] = until = int((market.session[own[1:]] <= last).sum())
            if until < _YEAR:
                continue
            model = arch_model(returns[:until], mean="Zero", rescale=False)
            parameters[symbol] = model.fit(disp="off", show_warning=False).params
            log_volatility = self._filtered(returns[:until], until, parameters[symbol])
            past = np.arange(until - self.horizon)  # of the returns; labels were known by ``last``
            observed = realised_log_volatility(market, own[past + 1], self.horizon)
            shift[symbol] = (observed - log_volatility[past]).mean()
        return {"parameters": parameters, "shift": shift, "known": known}

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        value = realised_log_volatility(market, rows, -20)
        for symbol in np.unique(market.symbol[rows]).tolist():
            until, parameters = int(learned["known"][symbol]), learned["parameters"][symbol]
            if until < _YEAR:
                continue
            own, returns = _returns(market, symbol)
            requested = market.symbol[rows] == symbol
            log_volatility = self._filtered(returns, until, parameters)
            at = rows[requested] - own[0] - 1
            value[requested] = log_volatility[at] + learned["shift"][symbol]
        return value

    def _filtered(self, returns: np.ndarray, until: int, parameters: np.ndarray) -> np.ndarray:
        """The forecast of log volatility after each return, from a start known ``until`` then."""
        from arch import arch_model

        fixed = arch_model(returns, mean="Zero", rescale=False).fix(parameters, last_obs=until)
        variance = fixed.forecast(horizon=self.horizon, start=0).variance.to_numpy().mean(1)
        return 0.5 * np.log(np.maximum(variance, 1e-8)) - np.log(100)


def _returns(market: Market, symbol: int) -> tuple[np.ndarray, np.ndarray]:
    """A symbol's rows, and its log returns in percent from the second row on."""
    own = np.flatnonzero(market.symbol == symbol)
    return own, 100 * np.diff(np.log(market.adj_close[own]))
