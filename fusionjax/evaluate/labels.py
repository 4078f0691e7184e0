"""The outcomes of some days, by which data is known again whatever it is called or holds beside."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, Shaped

from fusionjax import files
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market

_NAMED = 5e-4  # returns of one symbol and day: prices to the cent, adjusted anew, differ by less
_UNNAMED = 2e-7  # of other names: the same prices by another factor, in float32
_SHARE = {"named": 0.5, "unnamed": 0.25}  # of the values in common that must agree
_FEWEST = 4  # unnamed values that agree by more than chance


@dataclasses.dataclass(frozen=True)
class Labels:
    """One value a symbol and day, ordered by day and symbol.

    Attributes:
      symbol: its name.
      day: days since 1970.
      value: its log return of that day; of a study, the label.
    """

    symbol: Shaped[np.ndarray, "N"]
    day: Int32[np.ndarray, "N"]
    value: Float32[np.ndarray, "N"]

    @staticmethod
    def of(symbol: np.ndarray, day: np.ndarray, value: np.ndarray) -> "Labels":
        """These values in order; those that are not finite are left out."""
        known = np.isfinite(value)
        symbol, day, value = symbol[known], day[known], value[known]
        order = np.lexsort((symbol, day))
        return Labels(
            symbol[order].astype(str),
            day[order].astype("datetime64[D]").astype(np.int32),
            value[order].astype(np.float32),
        )

    @functools.cached_property
    def sum(self) -> str:
        """SHA-256 of the content."""
        digest = hashlib.sha256("\n".join(self.symbol.tolist()).encode())
        digest.update(self.day.tobytes() + self.value.tobytes())
        return digest.hexdigest()

    @property
    def days(self) -> tuple[str, str]:
        """The first and the last day."""
        first, last = self.day[[0, -1]].astype("datetime64[D]").tolist()
        return str(first), str(last)

    def save(self, folder: Path) -> None:
        """Writes them under the name of their sum, once."""
        path = folder / f"{self.sum}.npz"
        if not path.exists():
            with files.replaced(path) as f:
                np.savez_compressed(f, symbol=self.symbol, day=self.day, value=self.value)

    @staticmethod
    def load(folder: Path, sum_of: str) -> "Labels | None":
        """The labels of a sum; None where they are not there, or damaged."""
        stored = files.arrays(folder / f"{sum_of}.npz") or {}
        if stored.keys() != {"symbol", "day", "value"}:
            return None
        labels = Labels(**stored)
        return labels if labels.sum == sum_of else None

    def same_data(self, other: "Labels") -> bool:
        """Whether some days and values of both are the same market's.

        Compared where both have the day: values of the same symbol, nearly equal; and values of
        any symbol, equal but for rounding. Zeros are alike everywhere and do not count.
        """
        common = np.intersect1d(self.day, other.day)
        a, b = (x._take(np.isin(x.day, common) & (x.value != 0)) for x in (self, other))
        if not len(a.day) or not len(b.day):
            return False
        return _agree_by_name(a, b) or _agree(*sorted((a, b), key=lambda x: len(x.day)))

    def _take(self, keep: np.ndarray) -> "Labels":
        return Labels(self.symbol[keep], self.day[keep], self.value[keep])


def _agree_by_name(a: Labels, b: Labels) -> bool:
    names = np.union1d(a.symbol, b.symbol)
    keys, others = (
        (x.day.astype(np.int64) << 32) + np.searchsorted(names, x.symbol) for x in (a, b)
    )
    _, i, j = np.intersect1d(keys, others, return_indices=True)
    close = np.abs(a.value[i] - b.value[j]) <= _NAMED
    return len(i) > 0 and bool(close.mean() >= _SHARE["named"])


def _agree(few: Labels, many: Labels) -> bool:
    """Whether values of ``few`` are found on their days in ``many``, whatever the symbol."""
    # One number a day and value, a thousand apart from the next day's.
    keys, sought = (x.day * 1000.0 + x.value.clip(-400, 400) for x in (many, few))
    keys = np.sort(np.concatenate([[-np.inf], keys, [np.inf]]))
    at = np.searchsorted(keys, sought)
    found = np.minimum(sought - keys[at - 1], keys[at] - sought) <= _UNNAMED
    return bool(found.sum() >= _FEWEST and found.mean() >= _SHARE["unnamed"])


def of_samples(market: Market, samples: Samples) -> Labels:
    """The returns of the samples' symbols, from their first target day to the last."""
    symbols = np.unique(market.symbol[samples.row])
    return of_days(market, samples.target_day.min(), samples.target_day.max(), symbols)


def of_days(
    market: Market, first: np.datetime64, last: np.datetime64, symbols: np.ndarray | None = None
) -> Labels:
    """The returns of a period, of all symbols or of those with these numbers."""
    inside = (market.session >= first) & (market.session <= last)
    inside[market.first_row] = False  # the first bar of a symbol has no return
    if symbols is not None:
        inside &= np.isin(market.symbol, symbols)
    row = np.flatnonzero(inside)
    value = np.log(market.adj_close[row] / market.adj_close[row - 1])
    return Labels.of(np.array(market.symbols)[market.symbol[row]], market.session[row], value)
