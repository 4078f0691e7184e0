"""How soon each update rule is itself again after a change that is known: planted in a real market.

One channel is replaced by a clue to the next session's move; at a known session it changes.
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
    """The market with a channel that tells the next session's move, until it changes.

    Abrupt: from one session on it tells the opposite. Gradual: of ever more stocks. Recurring: in
    turns. Feature-only: it goes on telling, at another level.
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
    """Trains on each planted market, lives ``finetune.split`` under each rule and looks back.

    Args:
      market: real prices.
      config: ``train.split`` before the stream, ``finetune.*`` for its updates.
      mesh: to train on.
      channel: replaced by the clue; of one of the config's modalities.
      change: the session from which on it is different.

    Raises:
      InputError: the change is not inside the stream.
    """
    opened, closed = samples.period(config, config.finetune.split)
    if not opened < change < closed - 2 * _ROLLING:
        raise InputError(
            f"the change is on {change}; expected one inside config.finetune.split {opened} to "
            f"{closed}, with some weeks on both sides (studies/configs/drift.py)"
        )
    first, last = samples.period(config, config.train.split)
    span = config.data.splits[config.train.split]
    for kind in KINDS:
        made = planted(market, kind, channel, change, config.seed)
        windows = Windows(made, config, Scaler.fit(made, last))
        training_data = samples.training_data(
            made, config, first, last, weights.meta_fraction(config)
        )
        program = make_program(config, mesh, windows, training_data.meta_sessions)
        info = RunInfo(config, f"{made.fingerprint} {kind}", windows.scaler, *span, parent=None)
        with tempfile.TemporaryDirectory() as folder:
            seed = Path(folder) / f"seed_{config.seed}"
            with Checkpoints(seed, create=True) as checkpoints:
                fit(Run(config, windows, program, kind), training_data, Output(checkpoints, info))
            stream = Stream(made, config, mesh, Path(folder))
            for rule in RULES:
                up = stream.live(rule, seed).said.value["direction"][:, 0]
                yield looked_back(kind, rule, _accuracy(stream, up), stream.sessions, change)


def looked_back(
    kind: str,
    rule: str,
    accuracy: Float[np.ndarray, "days"],
    sessions: np.ndarray,
    change: np.datetime64,
) -> DriftRecovery:
    """The recovery of one daily series of accuracies."""
    at = int(np.searchsorted(sessions, change))
    before = float(np.nanmean(accuracy[:at]))
    wanted = 0.5 + _BACK * (before - 0.5)
    windows = np.lib.stride_tricks.sliding_window_view(accuracy[at:], _ROLLING)
    rolling = np.nanmean(windows, axis=1)
    lost = np.flatnonzero(rolling < wanted)
    back = 0.0
    if len(lost):
        again = np.flatnonzero(rolling[lost[0] :] >= wanted)
        back = float(lost[0] + again[0] + _ROLLING) if len(again) else float("nan")
    return DriftRecovery(
        kind, rule, before, float(rolling.min()), back, float(np.nanmean(accuracy[-20:]))
    )


def _accuracy(stream: Stream, up: np.ndarray) -> Float[np.ndarray, "days"]:
    asked = stream.asked
    known = asked.targets.mask["direction"][:, 0]
    right = (up > 0.5) == (asked.targets.label["direction"][:, 0] == 1)
    day = np.searchsorted(stream.sessions, stream.market.session[asked.row])
    total = np.bincount(day[known], right[known], len(stream.sessions))
    count = np.bincount(day[known], minlength=len(stream.sessions))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
