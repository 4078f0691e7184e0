"""Samples and their labels: one a bar, stamped with the session it predicts."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from fusionjax.config import Config
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.types import Targets


@dataclasses.dataclass(frozen=True)
class Samples:
    """Rows of a ``Market`` to forecast from, with what came after each."""

    row: Int64[np.ndarray, "S"]  # last bar known at the decision time
    target_day: Shaped[np.ndarray, "S"]  # datetime64[D], the session after it
    targets: Targets  # arrays of numpy
    subset: Bool[np.ndarray, "S"]  # the target is in the published sub-protocol

    def __len__(self) -> int:
        return len(self.row)

    def take(self, keep: np.ndarray) -> "Samples":
        """The samples at a mask or at positions."""
        return Samples(
            self.row[keep],
            self.target_day[keep],
            take_targets(self.targets, keep),
            self.subset[keep],
        )

    def and_unlabelled(self, config: Config, rows: Int64[np.ndarray, "K"]) -> "Samples":
        """These samples, then some whose future is unknown."""
        more, none = len(rows), unlabelled(config, len(rows))
        return Samples(
            np.concatenate([self.row, rows]),
            np.concatenate([self.target_day, np.full(more, np.datetime64("NaT", "D"))]),
            join_targets(self.targets, none),
            np.concatenate([self.subset, np.zeros(more, bool)]),
        )


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run learns from: all its samples, cut in time where fusion weights are distilled."""

    all: Samples
    inner: Samples | None  # labels known before the meta set begins
    meta: Samples | None  # strictly later than every base label

    @property
    def meta_sessions(self) -> int:
        """How many sessions the meta set has: its stocks of one day count as one."""
        return 0 if self.meta is None else len(np.unique(self.meta.target_day))

    def only(self, rows: Int64[np.ndarray, "K"]) -> "TrainingData":
        """The samples at some rows of the market.

        Raises:
          InputError: none is left before the meta set or in it.
        """
        parts = [
            None if s is None else s.take(np.isin(s.row, rows))
            for s in (self.all, self.inner, self.meta)
        ]
        if any(s is not None and not len(s) for s in parts):
            raise InputError(
                f"config.train.coreset_fraction leaves {len(rows)} samples, none of them before or "
                "none in the meta set; choose a larger share"
            )
        whole, inner, meta = parts
        assert whole is not None
        return TrainingData(whole, inner, meta)


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
      meta_fraction: 0 makes no cut.

    Raises:
      InputError: one side of the cut is empty, or a class is missing from the meta set.
    """
    whole = between(market, config, first, last)
    if meta_fraction == 0:
        return TrainingData(whole, None, None)
    days = np.unique(whole.target_day)
    cut = days[min(round(len(days) * (1 - meta_fraction)), len(days) - 1)] if len(days) else last
    inner = between(market, config, first, cut - 1)
    meta = whole.take(whole.target_day >= cut)
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
                f"in the meta set, {cut} to {last}, so its weights cannot be learned; choose a "
                "larger share"
            )
    return TrainingData(whole, inner, meta)


def take_targets(targets: Targets, keep: np.ndarray) -> Targets:
    """Rows of every label array."""
    label, mask = ({k: v[keep] for k, v in side.items()} for side in (targets.label, targets.mask))
    return Targets(label, mask)


def join_targets(a: Targets, b: Targets) -> Targets:
    """The rows of the first, then those of the second."""
    label, mask = (
        {k: np.concatenate([v, right[k]]) for k, v in left.items()}
        for left, right in ((a.label, b.label), (a.mask, b.mask))
    )
    return Targets(label, mask)


def period(config: Config, name: str) -> tuple[np.datetime64, np.datetime64]:
    """First and last day of a split."""
    first, last = config.data.splits[name]
    return np.datetime64(first, "D"), np.datetime64(last, "D")


def split(market: Market, config: Config, name: str) -> Samples:
    """The samples whose target day lies in ``config.data.splits[name]``, with matured labels.

    Raises:
      InputError: no sample falls into the split.
    """
    first, last = period(config, name)
    samples = between(market, config, first, last)
    if not len(samples):
        raise InputError(
            f"config.data.splits.{name} is {first} to {last}, where the data has no "
            f"sample: it runs from {market.session.min()} to {market.session.max()}"
        )
    return samples


def between(market: Market, config: Config, first: np.datetime64, last: np.datetime64) -> Samples:
    """The samples with a target day in [first, last] and enough history.

    A label of horizon h is known at the close h sessions after the decision; it counts only if
    that day is not after ``last`` (label_end <= last), so nothing of a later split leaks in.
    """
    rows = np.arange(len(market.session))
    ahead = np.minimum(rows + 1, len(rows) - 1)
    target_day = market.session[ahead]
    keep = (rows < market.last_row) & (target_day >= first) & (target_day <= last)
    # The first bar of a symbol has no return, so `min_history` returns need one bar more.
    keep &= rows - market.first_row >= config.data.min_history
    rows = rows[keep]
    return Samples(
        rows, target_day[keep], _targets(market, config, rows, last), market.subset[rows + 1]
    )


def matured(market: Market, config: Config, after: np.datetime64, until: np.datetime64) -> Samples:
    """The samples with a label that became known after one day and by another; only those labels.

    So that of a stream every label is new once, whatever its horizon.
    """
    now = between(market, config, market.session.min(), until)
    end = np.minimum(now.row + config.longest_horizon, market.last_row[now.row])
    now = now.take(market.session[end] > after)
    then = _targets(market, config, now.row, after)
    mask = {name: m & ~then.mask[name] for name, m in now.targets.mask.items()}
    keep = np.asarray(np.concatenate(list(mask.values()), 1).any(1))
    return dataclasses.replace(now, targets=Targets(now.targets.label, mask)).take(keep)


def unlabelled(config: Config, count: int) -> Targets:
    """Targets of samples whose future is unknown: all masked."""
    shapes = {name: (count, len(head.horizons)) for name, head in config.targets.items()}
    return Targets(
        {name: np.zeros(shape, config.targets[name].dtype) for name, shape in shapes.items()},
        {name: np.zeros(shape, bool) for name, shape in shapes.items()},
    )


def _targets(market: Market, config: Config, rows: np.ndarray, last: np.datetime64) -> Targets:
    targets = unlabelled(config, len(rows))
    for name, head in config.targets.items():
        for i, horizon in enumerate(head.horizons):
            label, known = head.labels(market, rows, horizon, last)
            targets.label[name][:, i], targets.mask[name][:, i] = label, known
    return targets


def growth(
    market: Market, rows: np.ndarray, horizon: int, last: np.datetime64
) -> tuple[Float64[np.ndarray, "S"], Bool[np.ndarray, "S"]]:
    """Price ratio over the horizon, and whether its end is known by ``last`` (1 if not)."""
    end = np.minimum(rows + horizon, market.last_row[rows])
    known = (rows + horizon <= market.last_row[rows]) & (market.session[end] <= last)
    ratio = market.adj_close[end] / market.adj_close[rows]
    return np.where(known, ratio, 1.0), known


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
