"""Samples and their labels: one sample a bar, dated by the session that it predicts."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Shaped

from fusionjax.config import Config, DataConfig, Heads
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.types import Targets

_RANGES, _FADING = 20, 0.8  # days of ``recent_log_volatility``, weight of each beside the next


@dataclasses.dataclass(frozen=True)
class Samples:
    """Rows of a ``Market`` to forecast from, with their labels."""

    row: Int64[np.ndarray, "S"]  # last bar known at the decision time
    target_day: Shaped[np.ndarray, "S"]  # datetime64[D], the session after it
    targets: Targets  # NumPy arrays
    subset: Bool[np.ndarray, "S"]  # the target is in the published sub-protocol

    def __len__(self) -> int:
        return len(self.row)

    def take(self, keep: np.ndarray) -> "Samples":
        """The samples that a mask or an array of positions selects."""
        return Samples(
            self.row[keep],
            self.target_day[keep],
            take_targets(self.targets, keep),
            self.subset[keep],
        )

    def then(self, other: "Samples") -> "Samples":
        """These samples, then those."""
        return Samples(
            np.concatenate([self.row, other.row]),
            np.concatenate([self.target_day, other.target_day]),
            join_targets(self.targets, other.targets),
            np.concatenate([self.subset, other.subset]),
        )

    def and_unlabelled(self, heads: Heads, rows: Int64[np.ndarray, "K"]) -> "Samples":
        """These samples, then one for each of ``rows``, whose labels are unknown and masked."""
        count, masked = len(rows), unlabelled(heads, len(rows))
        return Samples(
            np.concatenate([self.row, rows]),
            np.concatenate([self.target_day, np.full(count, np.datetime64("NaT", "D"))]),
            join_targets(self.targets, masked),
            np.concatenate([self.subset, np.zeros(count, bool)]),
        )


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The samples of a training period, split in time where fusion weights are learned."""

    all: Samples
    inner: Samples | None  # labels known before the meta set begins
    meta: Samples | None  # strictly later than every inner label

    @property
    def meta_sessions(self) -> int:
        """Distinct target days of the meta set: the stocks of one day count once."""
        return 0 if self.meta is None else len(np.unique(self.meta.target_day))

    def only(self, rows: Int64[np.ndarray, "K"]) -> "TrainingData":
        """The samples among ``rows`` of the market.

        Raises:
          InputError: the inner set or the meta set would be empty.
        """
        parts = [
            None if samples is None else samples.take(np.isin(samples.row, rows))
            for samples in (self.all, self.inner, self.meta)
        ]
        if any(samples is not None and not len(samples) for samples in parts):
            raise InputError(
                f"config.train.coreset_fraction leaves {len(rows)} samples, but none before the "
                "meta set or none in it; choose a larger share"
            )
        all_samples, inner, meta = parts
        assert all_samples is not None
        return TrainingData(all_samples, inner, meta)


def training_data(
    market: Market,
    config: Config,
    first: np.datetime64,
    last: np.datetime64,
    meta_fraction: float,
) -> TrainingData:
    """The samples of a period; the latest ``meta_fraction`` of its sessions are the meta set.

    Args:
      market: the data.
      config: of the run.
      first: first target day.
      last: last day, of targets and of their labels.
      meta_fraction: share of the sessions; 0 for no meta set.

    Raises:
      InputError: the inner or the meta set is empty, or the meta set lacks a class.
    """
    samples = between(market, config, first, last)
    if meta_fraction == 0:
        return TrainingData(samples, None, None)
    days = np.unique(samples.target_day)
    start = days[min(round(len(days) * (1 - meta_fraction)), len(days) - 1)] if len(days) else last
    inner = between(market, config, first, start - 1)
    meta = samples.take(samples.target_day >= start)
    if not len(inner) or not len(meta):
        raise InputError(
            f"config.distill.meta_fraction is {meta_fraction}: of the {len(days)} sessions from "
            f"{first} to {last} it leaves {len(inner)} samples before the meta set and "
            f"{len(meta)} in it; train on a longer period or choose another share"
        )
    for name, head in config.targets.items():
        if not head.class_names:
            continue
        known = meta.targets.label[name][meta.targets.mask[name]]
        missing = set(np.unique(inner.targets.label[name])) - set(np.unique(known))
        if missing and len(known):
            names = ", ".join(head.class_names[int(c)] for c in sorted(missing))
            raise InputError(
                f"config.distill.meta_fraction is {meta_fraction}: no sample of class {names} is "
                f"in the meta set, {start} to {last}, so its weights cannot be learned; "
                "choose a larger share"
            )
    return TrainingData(samples, inner, meta)


def take_targets(targets: Targets, keep: np.ndarray) -> Targets:
    """The labels and masks that a mask or an array of positions selects."""
    label, mask = ({k: v[keep] for k, v in side.items()} for side in (targets.label, targets.mask))
    return Targets(label, mask)


def join_targets(a: Targets, b: Targets) -> Targets:
    """The labels and masks of ``a``, then those of ``b``."""
    label, mask = (
        {k: np.concatenate([v, right[k]]) for k, v in left.items()}
        for left, right in ((a.label, b.label), (a.mask, b.mask))
    )
    return Targets(label, mask)


def period(data: DataConfig, name: str) -> tuple[np.datetime64, np.datetime64]:
    """First and last day of a split."""
    first, last = data.splits[name]
    return np.datetime64(first, "D"), np.datetime64(last, "D")


def split(market: Market, config: Config, name: str) -> Samples:
    """The samples whose target day lies in ``config.data.splits[name]``, with matured labels.

    Raises:
      InputError: no sample falls into the split.
    """
    first, last = period(config.data, name)
    return require_any(between(market, config, first, last), market, config.data, name)


def require_any(samples: Samples, market: Market, data: DataConfig, name: str) -> Samples:
    """The samples of a split.

    Raises:
      InputError: there are none.
    """
    if not len(samples):
        first, last = period(data, name)
        raise InputError(
            f"config.data.splits.{name} is {first} to {last}, where the data has no "
            f"sample: it runs from {market.session.min()} to {market.session.max()}"
        )
    return samples


def between(market: Market, config: Config, first: np.datetime64, last: np.datetime64) -> Samples:
    """The samples of members with a target day in [first, last] and enough history.

    A label of horizon h is known at the close of the symbol's own h-th next bar (``known_at``); it
    counts only if that day is not after ``last``, so nothing of a later split leaks in.
    """
    rows = np.arange(len(market.session))
    next_row = np.minimum(rows + 1, len(rows) - 1)
    target_day = market.session[next_row]
    keep = (rows < market.last_row) & (target_day >= first) & (target_day <= last)
    keep &= market.forecast_rows(config.data.min_history)
    rows = rows[keep]
    return Samples(
        rows,
        target_day[keep],
        _targets(market, config.targets, rows, last),
        market.subset[rows + 1],
    )


def matured(market: Market, config: Config, after: np.datetime64, until: np.datetime64) -> Samples:
    """Samples with a label that became known after ``after`` and by ``until``; others are masked.

    Successive periods return every label once, whatever its horizon.
    """
    samples = between(market, config, market.session.min(), until)
    end, _ = known_at(market, samples.row, config.longest_horizon)
    samples = samples.take(market.session[end] > after)
    earlier = _targets(market, config.targets, samples.row, after)
    mask = {name: m & ~earlier.mask[name] for name, m in samples.targets.mask.items()}
    keep = np.asarray(np.concatenate(list(mask.values()), 1).any(1))
    return dataclasses.replace(samples, targets=Targets(samples.targets.label, mask)).take(keep)


def unlabelled(heads: Heads, count: int) -> Targets:
    """Targets of samples whose future is unknown: all masked."""
    shapes = {name: (count, len(head.horizons)) for name, head in heads.items()}
    return Targets(
        {name: np.zeros(shape, heads[name].dtype) for name, shape in shapes.items()},
        {name: np.zeros(shape, bool) for name, shape in shapes.items()},
    )


def _targets(market: Market, heads: Heads, rows: np.ndarray, last: np.datetime64) -> Targets:
    targets = unlabelled(heads, len(rows))
    for name, head in heads.items():
        for i, horizon in enumerate(head.horizons):
            label, known = head.labels(market, rows, horizon, last)
            targets.label[name][:, i], targets.mask[name][:, i] = label, known
    return targets


def known_at(
    market: Market, rows: Int64[np.ndarray, "S"], horizon: int
) -> tuple[Int64[np.ndarray, "S"], Bool[np.ndarray, "S"]]:
    """When each row's label becomes known: at the close of the symbol's ``horizon``-th next bar.

    A symbol that misses bars is known later than the ``horizon``-th session of the exchange.

    Returns:
      The row of that bar, and whether it exists; the symbol's last row where it does not.
    """
    end = rows + horizon
    last = market.last_row[rows]
    return np.minimum(end, last), end <= last


def label_end(
    market: Market, config: Config, rows: Int64[np.ndarray, "S"], last: np.datetime64
) -> Int64[np.ndarray, "S"]:
    """The session (``Market.ordinal``) at whose close the last of a row's labels is known.

    Of labels of all heads and horizons that are known by ``last``: the others are masked there, so
    they neither train nor score. The row's own session if there is none.
    """
    end = market.ordinal[rows]
    for horizon in {h for head in config.targets.values() for h in head.horizons}:
        bar, exists = known_at(market, rows, horizon)
        counts = exists & (market.session[bar] <= last)
        end = np.where(counts, np.maximum(end, market.ordinal[bar]), end)
    return end


def growth(
    market: Market, rows: np.ndarray, horizon: int, last: np.datetime64
) -> tuple[Float64[np.ndarray, "S"], Bool[np.ndarray, "S"]]:
    """Price ratio over the horizon (1 where unknown), and whether it is known by ``last``."""
    end, exists = known_at(market, rows, horizon)
    known = exists & (market.session[end] <= last)
    ratio = market.adj_close[end] / market.adj_close[rows]
    return np.where(known, ratio, 1.0), known


def log_returns(market: Market) -> Float64[np.ndarray, "R"]:
    """Log return of each row from its symbol's row before; NaN at the first."""
    r = np.diff(np.log(market.adj_close), prepend=np.nan)
    r[market.first_row] = np.nan
    return r


def range_variance(ohlcv: Float[np.ndarray, "R _"]) -> Float64[np.ndarray, "R"]:
    """Variance of each session by its high and low (Parkinson, 1980)."""
    high, low = np.log(ohlcv[:, 1:3].astype(float)).T
    return (high - low) ** 2 / (4 * np.log(2))


def realised_log_volatility(
    market: Market, rows: np.ndarray, horizon: int
) -> Float64[np.ndarray, "S"]:
    """Log of the root mean square daily log return of the ``horizon`` sessions after each row.

    A negative horizon looks back instead: the sessions up to and including the row. Sessions
    outside the symbol's bars do not count. A floor of 0.01 % a day keeps the log finite.
    """
    steps = np.arange(1, horizon + 1) if horizon > 0 else np.arange(horizon + 1, 1)
    at = rows[:, None] + steps
    exists = (at > market.first_row[rows][:, None]) & (at <= market.last_row[rows][:, None])
    at = np.where(exists, at, 1)
    r = np.where(exists, np.log(market.adj_close[at] / market.adj_close[at - 1]), 0.0)
    return 0.5 * np.log((r**2).sum(1) / np.maximum(exists.sum(1), 1) + 1e-8)


def recent_log_volatility(market: Market, rows: np.ndarray) -> Float64[np.ndarray, "S"]:
    """Log volatility of the last days by their ranges, up to and including each row.

    A day's variance is that of its log range (Parkinson, 1980) and the squared move from the last
    close to the open; days weigh .8 times as much as the next, twenty of them. It notices a jump of
    volatility on its first day, where 20 squared returns take weeks. Same unit and floor as
    ``realised_log_volatility``.
    """
    at = rows[:, None] + np.arange(-_RANGES + 1, 1)
    exists = at > market.first_row[rows][:, None]
    bars, place = np.unique(np.where(exists, at, 1), return_inverse=True)
    opened, close = np.log(market.ohlcv[bars][:, [0, 3]].astype(float)).T
    overnight = np.log(market.adj_close[bars] / market.adj_close[bars - 1]) - (close - opened)
    of_bar = overnight**2 + range_variance(market.ohlcv[bars])
    variance = of_bar[place.reshape(at.shape)]
    weight = np.where(exists, _FADING ** np.arange(_RANGES - 1, -1, -1), 0.0)
    total = weight.sum(1)
    return 0.5 * np.log((weight * variance).sum(1) / np.where(total > 0, total, 1) + 1e-8)
