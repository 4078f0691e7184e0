"""Weights that keep any one source, symbol or sector from tilting what is learned."""

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from fusionjax.config import Config
from fusionjax.data.store import Market
from fusionjax.errors import InputError


def weights(group: Shaped[np.ndarray, "K"]) -> Float64[np.ndarray, "K"]:
    """One weight a member, mean 1: a group of n members counts as √n, not n.

    Between counting every member alike (n) and every group alike (1): with equal groups a source
    of one item would speak as loud as one of ten thousand.
    """
    _, at, count = np.unique(group, return_inverse=True, return_counts=True)
    weight = 1 / np.sqrt(count[at])
    return weight / weight.mean() if len(weight) else weight


def _as_of(
    group: Shaped[np.ndarray, "K"], known: Bool[np.ndarray, "K"]
) -> Float64[np.ndarray, "K"]:
    """``weights`` by the known members alone; a group without a known member weighs 1."""
    names, first = np.unique(group[known], return_index=True)
    if not len(names):
        return np.ones(len(group))
    weight = weights(group[known])[first]
    at = np.minimum(np.searchsorted(names, group), len(names) - 1)
    return np.where(names[at] == group, weight[at], 1.0)


def of_rows(market: Market, config: Config) -> Float64[np.ndarray, "R"] | None:
    """How often each row of the market is drawn, relative to the mean; None for all alike.

    By symbol, or by the mean weight of the sources of the items that a sample holds: a sample
    whose texts are all by one busy account is drawn less. A sample that sees no item has weight 1.

    Raises:
      InputError: ``train.balance`` names nothing that the config's modalities show.
    """
    by = config.train.balance
    if not by:
        return None
    # Only items of the training period count: later ones must not change how it is drawn.
    known = market.session <= np.datetime64(config.data.splits[config.train.split][1], "D")
    if by == "symbol":
        return _as_of(market.symbol, known)
    if by == "sector":
        lacking = [s for s in market.symbols if s not in market.sectors]
        if lacking:
            raise InputError(
                f"config.train.balance is 'sector'; the data names none for {lacking[0]} "
                f"({len(lacking)} such symbols): fill a column sector of the bars"
            )
        sector = np.array([market.sectors[s] for s in market.symbols])
        return _as_of(sector[market.symbol], known)
    shown = [m for m in config.modalities.values() if m.kind == by]
    if not shown or by not in market.items:
        kinds = {m.kind for m in config.modalities.values()} & {*market.items}
        raise InputError(
            f"config.train.balance is {by!r}; expected empty, symbol, sector"
            + "".join(f" or {kind}" for kind in sorted(kinds))
        )
    held = market.items[by]
    total = np.concatenate([[0.0], np.cumsum(_as_of(held.author, known[held.bar]))])
    rows = np.arange(len(market.session))
    begin = np.searchsorted(held.bar, market.oldest(rows, shown[0].sessions), side="left")
    end = np.searchsorted(held.bar, rows, side="right")
    mean = (total[end] - total[begin]) / np.maximum(end - begin, 1)
    return np.where(end > begin, mean, 1.0)
