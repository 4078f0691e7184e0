"""How soon each update rule recovers from a known change, planted in a real market.

One channel is replaced by a clue to the next session's move; at a known session the clue changes.
"""

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.experts import stacked
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.job import Output, Run
from fusionjax.train.loop import fit
from fusionjax.train.run import make_program
from fusionjax.train.run_info import RunInfo
from studies.streams import RULES
from studies.streams.stream import Stream

KINDS = ("abrupt", "gradual", "recurring", "feature-only", "none")
_CLUE = 1.5  # standard deviations of noise that the clue to a rise is worth
_RAMP, _TURN = 60, 40  # sessions of the gradual change; of one phase of the recurring one
_MOVED = 3.0  # standard deviations, of the feature-only change
_ROLLING, _BACK = 10, 0.9  # sessions; share of the old advantage that counts as recovered


@dataclasses.dataclass(frozen=True)
class DriftRecovery:
    """One rule after one change.

    Attributes:
      kind: of change.
      rule: of the stream.
      before: accuracy until the change.
      lowest: of ten sessions, after it.
      sessions: from the change until ten sessions have 90 % of the old advantage over chance
        again, after it was lost; 0 where it never was, NaN where it did not return.
      last: accuracy of the last twenty sessions.
    """

    kind: str
    rule: str
    before: float
    lowest: float
    sessions: float
    last: float


def planted(market: Market, kind: str, channel: str, change: np.datetime64, seed: int) -> Market:
    """The market with a channel that predicts the next session's move, until it changes.

    Abrupt: from one session on its sign is reversed. Gradual: for more and more rows. Recurring:
    in turns. Feature-only: the sign stays, the level moves.
    """
    rng, days = np.random.default_rng(seed), np.unique(market.session)
    since = np.searchsorted(days, market.session) - np.searchsorted(days, change)
    end = np.minimum(np.arange(len(since)) + 1, market.last_row)
    rises = np.where(market.adj_close[end] > market.adj_close, 1.0, -1.0)
    after = since >= 0
    turned = {
        "abrupt": after,
        "gradual": rng.random(len(since)) < since / _RAMP,
        "recurring": after & (since // _TURN % 2 == 0),
    }.get(kind, np.zeros(len(since), bool))
    clue = np.where(turned, -rises, rises) * _CLUE + rng.normal(size=len(since))
    clue += _MOVED * (after & (kind == "feature-only"))
    channels = market.channels.copy()
    channels[:, market.columns((channel,))[0]] = clue
    return dataclasses.replace(market, channels=channels)


def study(
    market: Market,
    config: Config,
    mesh: Mesh,
    channel: str,
    change: np.datetime64,
) -> Iterator[DriftRecovery]:
    """Trains on each planted market, runs ``finetune.split`` under each rule, measures recovery.

    Args:
      market: real prices.
      config: ``train.split`` before the stream, ``finetune.*`` for its updates.
      mesh: to train on.
      channel: replaced by the clue; of one of the config's modalities.
      change: the session from which on it is different.

    Raises:
      InputError: the change is not inside the stream.
    """
    start, end = samples.period(config.data, config.finetune.split)
    if not start < change < end - 2 * _ROLLING:
        raise InputError(
            f"the change is on {change}; expected one inside config.finetune.split {start} to "
            f"{end}, with some weeks on both sides (studies/configs/drift.py)"
        )
    first, last = samples.period(config.data, config.train.split)
    span = config.data.splits[config.train.split]
    for kind in KINDS:
        changed = planted(market, kind, channel, change, config.seed)
        training_data = samples.training_data(
            changed, config, first, last, weights.meta_fraction(config)
        )
        windows = Windows(changed, config, Scaler.fit(changed, last))
        windows = stacked.started(windows, training_data, last)
        program = make_program(config, mesh, windows, training_data.meta_sessions)
        info = RunInfo(config, f"{changed.fingerprint} {kind}", windows.scaler, *span, parent=None)
        with tempfile.TemporaryDirectory() as folder:
            seed = Path(folder) / f"seed_{config.seed}"
            stacked.kept(windows, seed)
            with Checkpoints(seed, create=True) as checkpoints:
                fit(Run(config, windows, program, kind), training_data, Output(checkpoints, info))
            stream = Stream(changed, config, mesh, Path(folder))
            for rule in RULES:
                up = stream.run(rule, seed).prediction.value["direction"][:, 0]
                yield recovery_of(kind, rule, _accuracy(stream, up), stream.sessions, change)


def recovery_of(
    kind: str,
    rule: str,
    accuracy: Float[np.ndarray, "days"],
    sessions: np.ndarray,
    change: np.datetime64,
) -> DriftRecovery:
    """The recovery of one daily series of accuracies."""
    change_index = int(np.searchsorted(sessions, change))
    before = float(np.nanmean(accuracy[:change_index]))
    recovered = 0.5 + _BACK * (before - 0.5)
    windows = np.lib.stride_tricks.sliding_window_view(accuracy[change_index:], _ROLLING)
    rolling = np.nanmean(windows, axis=1)
    below = np.flatnonzero(rolling < recovered)
    delay = 0.0
    if len(below):
        above = np.flatnonzero(rolling[below[0] :] >= recovered)
        delay = float(below[0] + above[0] + _ROLLING) if len(above) else float("nan")
    return DriftRecovery(
        kind, rule, before, float(rolling.min()), delay, float(np.nanmean(accuracy[-20:]))
    )


def _accuracy(stream: Stream, up: np.ndarray) -> Float[np.ndarray, "days"]:
    scored = stream.samples
    known = scored.targets.mask["direction"][:, 0]
    correct = (up > 0.5) == (scored.targets.label["direction"][:, 0] == 1)
    day = np.searchsorted(stream.sessions, stream.market.session[scored.row])
    total = np.bincount(day[known], correct[known], len(stream.sessions))
    count = np.bincount(day[known], minlength=len(stream.sessions))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
