"""Sampling weights, so that no source, symbol or sector dominates training."""

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from fusionjax.config import Config
from fusionjax.data.store import Market
from fusionjax.errors import InputError


def weights(group: Shaped[np.ndarray, "K"]) -> Float64[np.ndarray, "K"]:
    """A weight for each member, mean 1: a group of n members counts as √n.

    This lies between equal members (n) and equal groups (1), where a source of one item would
    count as much as one of ten thousand.
    """
    _, at, count = np.unique(group, return_inverse=True, return_counts=True)
    weight = 1 / np.sqrt(count[at])
    return weight / weight.mean() if len(weight) else weight


def _as_of(
    group: Shaped[np.ndarray, "K"], known: Bool[np.ndarray, "K"]
) -> Float64[np.ndarray, "K"]:
    """``weights`` computed from the known members; 1 for a group without a known member."""
    names, first = np.unique(group[known], return_index=True)
    if not len(names):
        return np.ones(len(group))
    weight = weights(group[known])[first]
    position = np.minimum(np.searchsorted(names, group), len(names) - 1)
    return np.where(names[position] == group, weight[position], 1.0)


def of_rows(market: Market, config: Config) -> Float64[np.ndarray, "R"] | None:
    """How often each row of the market is drawn, relative to the mean; None: uniformly.

    Balances symbols, sectors or sources. A row's weight by source is the mean weight of the sources
    of its items, 1 if it has none: texts by one busy account are drawn less.

    Raises:
      InputError: ``train.balance`` names no modality with items, or a symbol lacks its sector.
    """
    by = config.train.balance
    if not by:
        return None
    # Items after the training period must not change the weights.
    known = market.session <= np.datetime64(config.data.splits[config.train.split][1], "D")
    if by == "symbol":
        return _as_of(market.symbol, known)
    if by == "sector":
        missing = [s for s in market.symbols if s not in market.sectors]
        if missing:
            raise InputError(
                f"config.train.balance is 'sector'; the data names none for {missing[0]} "
                f"({len(missing)} such symbols): fill a column sector of the bars"
            )
        sector = np.array([market.sectors[s] for s in market.symbols])
        return _as_of(sector[market.symbol], known)
    modalities = [m for m in config.modalities.values() if m.kind == by]
    if not modalities or by not in market.items:
        kinds = {m.kind for m in config.modalities.values()} & {*market.items}
        raise InputError(
            f"config.train.balance is {by!r}; expected empty, symbol, sector"
            + "".join(f" or {kind}" for kind in sorted(kinds))
        )
    items = market.items[by]
    total = np.concatenate([[0.0], np.cumsum(_as_of(items.author, known[items.bar]))])
    rows = np.arange(len(market.session))
    begin = np.searchsorted(items.bar, market.oldest(rows, modalities[0].sessions), side="left")
    end = np.searchsorted(items.bar, rows, side="right")
    mean = (total[end] - total[begin]) / np.maximum(end - begin, 1)
    return np.where(end > begin, mean, 1.0)
