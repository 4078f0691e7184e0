"""Where a training's loss has been, its best state, and when to go back to it.

The host looks once a window, when it has sent off the next step: the median of the window's
losses and its standard error. A loss is judged against the run's own noise, in standard errors.
"""

import bisect
import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fusionjax.config import GuardConfig
from fusionjax.train import guards
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.state import TrainState

# Standard error of a median of normal values: 1.2533 deviations over the root of their number; a
# deviation is 1.4826 median ones.
_ERROR = 1.2533 * 1.4826
_USUAL = 10  # looks that say how large a standard error usually is


@dataclasses.dataclass(frozen=True)
class LossWindow:
    """The losses of the updates up to a step, in one number."""

    step: int
    loss: float  # median
    error: float  # its standard error

    @staticmethod
    def of(step: int, losses: np.ndarray) -> "LossWindow":
        middle = float(np.median(losses))
        spread = float(np.median(np.abs(losses - middle)))
        return LossWindow(step, middle, _ERROR * spread / math.sqrt(len(losses)))

    def above(self, other: "LossWindow", usual: float = 0.0) -> float:
        """How many standard errors this loss is above another.

        Args:
          other: an earlier look.
          usual: the least that a standard error is taken to be: that of few losses is itself noise.
        """
        noise = math.hypot(max(self.error, usual), max(other.error, usual))
        return (self.loss - other.loss) / max(noise, 1e-6 * abs(other.loss), 1e-12)


@dataclasses.dataclass(frozen=True)
class GuardDecision:
    """What follows from a look at the losses.

    Attributes:
      halted: a step was non-finite; the state waits.
      state: to go on from, if the loss has rebounded and there still is a way back.
      seen: the look, if it has.
      best: and the one that it is compared with.
    """

    halted: bool = False
    state: TrainState | None = None
    seen: LossWindow | None = None
    best: LossWindow | None = None

    @property
    def acts(self) -> bool:
        """Whether anything follows."""
        return self.halted or self.seen is not None


@dataclasses.dataclass
class History:
    """What a run remembers of its losses, over all its restarts; JSON beside its checkpoints."""

    looks: list[LossWindow] = dataclasses.field(default_factory=list)
    best: LossWindow | None = None  # of the state that is gone back to; ``step`` is that state's
    pending: int | None = None  # step of the state that the next look is about
    rollbacks: int = 0

    def usual_error(self) -> float:
        """Median of the last looks' standard errors."""
        return float(
            np.median([look.error for look in self.looks[-_USUAL:] or [LossWindow(0, 0, 0)]])
        )

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(raw: dict[str, Any]) -> "History":
        looks, best = [LossWindow(**x) for x in raw["looks"]], raw["best"]
        return History(looks, best and LossWindow(**best), raw["pending"], raw["rollbacks"])


class Rebound:
    """Keeps the best state and goes back to it.

    Small states are copied on the devices at every look and go into the checkpoints too, so that a
    resumed run has them; of large ones the best checkpoint is kept. A state's worth is the loss of
    the updates that follow it: one that a last bad update spoiled is never the best.

    Args:
      guard: thresholds of the run.
      like: shapes and shardings of its state.
      turns: steps at which what the loss means changes: nothing before one is compared with
        anything after.
      checkpoints: of the run; None keeps no large state.
    """

    def __init__(
        self,
        guard: GuardConfig,
        like: TrainState,
        loss_changes: list[int],
        checkpoints: Checkpoints | None,
    ) -> None:
        self._guard, self._loss_changes, self._checkpoints = guard, loss_changes, checkpoints
        self.history = History()
        shares = (math.prod(x.sharding.shard_shape(x.shape)) for x in jax.tree.leaves(like))
        size = sum(n * x.dtype.itemsize for n, x in zip(shares, jax.tree.leaves(like), strict=True))
        self.in_memory = size <= guard.memory_bytes
        self.copies: dict[str, TrainState] = {}  # "best" and "pending", in memory
        self._held: tuple[int, tuple[Any, list], TrainState | None] | None = None
        self._like = like
        split = jax.tree.map(lambda x: x.sharding, like)
        self._copy = jax.jit(lambda s: jax.tree.map(jnp.copy, s), out_shardings=split)
        self._back = jax.jit(self._returned, static_argnums=2, out_shardings=split)
        self._free = jax.jit(self._freed, donate_argnums=0, out_shardings=split)

    def resume(self, history: dict[str, Any], copies: dict[str, TrainState]) -> None:
        """Goes on with what a checkpoint holds."""
        self.history, self.copies = History.from_json(history), copies
        if self.in_memory and "best" not in copies:
            self.history.best = None
        if self.in_memory and "pending" not in copies:
            self.history.pending = None
        self._protect()

    def hold(self, done: int, state: TrainState) -> None:
        """Keeps what the look after this step needs, to be read by the next ``look``."""
        if self._guard.window and done % self._guard.window == 0:
            small = jax.tree.map(jnp.copy, (state.guard, guards.counters(state)))
            self._held = done, small, self._copy(state) if self.in_memory else None

    def rewind(self) -> None:
        """What is held belongs to a step that was not made."""
        self._held = None

    def saves(self, step: int) -> None:
        """A checkpoint is about to be written: of a large state it is what a later look is about.

        One that still waits to be judged stays: looks may be further apart than checkpoints.
        """
        if not self.in_memory and self.history.pending is None:
            self.history.pending = step
            self._protect()

    def settled(self, step: int, state: TrainState) -> None:
        """The fusion was settled: no way leads to before that. What follows is judged anew."""
        self._forget()
        self._held = None
        if self._guard.window and self.in_memory:
            self.history.best = LossWindow(step, math.inf, 0.0)
            self.copies["best"] = self._copy(state)

    def kept(self) -> tuple[dict[str, Any], dict[str, TrainState]]:
        """What a checkpoint holds of this, beside the state."""
        return self.history.to_json(), dict(self.copies)

    def look(self) -> GuardDecision:
        """Reads what is held, if anything, and says what follows."""
        if self._held is None:
            return GuardDecision()
        (step, now, copy), self._held = self._held, None
        guard, window, h = now[0], self._guard.window, self.history
        losses, count, halted = jax.device_get((guard.losses, guard.count, guard.halted))
        if halted or count < window:
            return GuardDecision(halted=bool(halted))
        seen, turn = LossWindow.of(step, losses), self._turn(step - 1)
        h.looks.append(seen)
        if h.best and self._turn(h.best.step) != turn:
            self._forget()
        if self._turn(step - window) != turn:
            h.pending = None
            self.copies.pop("pending", None)
            self._protect()
            return GuardDecision()
        best, usual = h.best, h.usual_error()
        if best and self._guard.loss_zscore and seen.above(best, usual) > self._guard.loss_zscore:
            state = self.back(now)
            if state is None:
                h.best = None  # told once, not at every look from here on
            return GuardDecision(state=state, seen=seen, best=best)
        if h.pending is not None and h.pending <= step - window:
            if best is None or seen.loss < best.loss:
                h.best = dataclasses.replace(seen, step=h.pending)
                if self.in_memory:
                    self.copies["best"] = self.copies["pending"]
            h.pending = None
        if copy is not None:
            h.pending, self.copies["pending"] = step, copy
        self._protect()
        return GuardDecision()

    def back(self, now: tuple[Any, list]) -> TrainState | None:
        """The best state at another's step and a lower learning rate; None where it is too late.

        The steps between are not made again: neither are the batches that led astray.

        Args:
          now: guard and counters of the other, as ``guards.counters`` gives them.
        """
        h = self.history
        if h.best is None or h.rollbacks >= self._guard.max_rollbacks:
            return None
        best = self.copies["best"] if self.in_memory else self._from_disk(h.best.step)
        if best is None:
            return None
        h.rollbacks, h.pending = h.rollbacks + 1, None
        return self._back(best, now, self._guard.lr_backoff)

    def _from_disk(self, step: int) -> TrainState | None:
        assert self._checkpoints is not None, "without them no large state is ever the best"
        return self._checkpoints.restored(step, self._like)

    def freed(self, state: TrainState) -> TrainState:
        """A state that halted, free to move again."""
        return self._free(state)

    @staticmethod
    def _returned(best: TrainState, now: tuple[Any, list], rate: float) -> TrainState:
        guard, counters = now
        state = guards.with_counters(best, counters)
        return dataclasses.replace(state, guard=guards.slowed(guard, rate))

    @staticmethod
    def _freed(state: TrainState) -> TrainState:
        free = dataclasses.replace(state.guard, halted=jnp.zeros((), bool))
        return dataclasses.replace(state, guard=free)

    def _turn(self, step: int) -> int:
        return bisect.bisect_right(self._loss_changes, step)

    def _forget(self) -> None:
        self.history.best = self.history.pending = None
        self.copies = {}
        self._protect()

    def _protect(self) -> None:
        """Tells which checkpoints must stay."""
        if self._checkpoints is not None and not self.in_memory:
            h = self.history
            kept = h.pending, h.best.step if h.best else None
            self._checkpoints.protected = {step for step in kept if step is not None}
