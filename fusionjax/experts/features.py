"""What baselines and experts learn from: features of rows of the market, each computed once."""

import dataclasses
import threading
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int64

from fusionjax.data.pooled import pooled_by_modality, pooled_features
from fusionjax.data.windows import Windows
from fusionjax.experts.cache import digest
from fusionjax.heads.volatility_regressors import Regressors, multi_scale, spans, with_market

_PROBES = 64  # rows whose features tell, in a key, which features these are


class Features:
    """Values of rows; NaN where missing.

    Args:
      windows: of the data.
      compute: the values of some rows of them.
    """

    def __init__(
        self,
        windows: Windows,
        compute: Callable[[Windows, Int64[np.ndarray, "K"]], Float[np.ndarray, "K *F"]],
    ) -> None:
        self._windows, self._compute = windows, compute
        self._place = np.full(len(windows.market.session), -1)
        self._known: np.ndarray | None = None
        self._lock = threading.Lock()  # experts are fitted in threads

    def __call__(self, rows: Int64[np.ndarray, "S"]) -> Float[np.ndarray, "S *F"]:
        with self._lock:
            missing = np.unique(rows[self._place[rows] < 0])
            if len(missing) or self._known is None:
                new = self._compute(self._windows, missing)
                start = 0 if self._known is None else len(self._known)
                self._known = new if self._known is None else np.concatenate([self._known, new])
                self._place[missing] = np.arange(start, len(self._known))
            return self._known[self._place[rows]]

    def key(self, rows: Int64[np.ndarray, "S"]) -> str:
        """Tells these features of some rows from others."""
        probes = np.unique(rows)
        probes = probes[np.linspace(0, len(probes) - 1, _PROBES).astype(int)]
        return digest(self._compute(self._windows, np.unique(probes)))


def of_series(
    windows: Windows, regressors: Regressors, hidden: frozenset[str] = frozenset()
) -> Features:
    """The pooled channels of the bars, and regressors of volatility of the stock and of the day's
    mean stock; modalities in ``hidden`` are missing."""
    numeric = {k: m for k, m in windows.config.modalities.items() if m.channel_names}

    def compute(narrow: Windows, rows: np.ndarray) -> np.ndarray:
        pooled = pooled_by_modality(narrow, rows, hidden).values() if numeric else ()
        return np.concatenate([*pooled, with_market(narrow.market, rows, regressors)], 1)

    return Features(windows.seeing(numeric), compute)


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What baselines that learn from inputs read.

    Attributes:
      pooled: the inputs of all modalities.
      series: the bars, with volatility over a day, a week and a month. Trees read these: they take
        slow means over all stocks for a clock and learn the periods of training by heart (on folds
        inside KDD17's training period their error rises by 6 %).
      multi_scale: the bars, with volatility over longer and exponential spans too.
    """

    pooled: Features
    series: Features
    multi_scale: Features

    @staticmethod
    def of(windows: Windows, hidden: frozenset[str] = frozenset()) -> "Inputs":
        """Modalities in ``hidden`` are missing from the bars."""
        return Inputs(
            Features(windows, pooled_features),
            of_series(windows, spans, hidden),
            of_series(windows, multi_scale, hidden),
        )
