"""The loss-rebound guard compared with no guard, step decay and reduce-on-plateau."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from rich.progress import Progress
from rich.table import Table
from scipy import stats

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.evaluate.inference import predict
from fusionjax.evaluate.selection import score
from fusionjax.train.rebound import LossWindow, Rebound
from fusionjax.train.run import Trainer
from fusionjax.train.start import batch_source
from fusionjax.train.state import TrainState
from fusionjax.types import StepInputs

Accident = Literal["none", "a feed gone wrong", "a learning rate gone wrong"]
ACCIDENTS: tuple[Accident, ...] = ("none", "a feed gone wrong", "a learning rate gone wrong")
_AT, _LASTS = 0.55, 40  # share of the steps after which an accident begins; steps
_RATE = 100.0  # factor on a learning rate gone wrong
_DECAY = {0.5: 0.5, 0.75: 0.5}  # step decay: factor on the learning rate, by share of the steps
_PATIENCE = 2  # looks without a new best loss, after which reduce-on-plateau halves


@dataclasses.dataclass(frozen=True)
class RunOutcome:
    """One training's end."""

    policy: str
    accident: str
    seed: int
    loss: float  # on the split after training: log loss + squared error of log volatility
    last: float  # training loss, median of the last window
    rollbacks: int


def study(config: Config, mesh: Mesh, seeds: range, progress: Progress) -> list[RunOutcome]:
    """Trains every policy through every accident.

    Args:
      config: of real data; ``evaluate.split`` is scored.
      mesh: to train on.
      seeds: of each cell.
      progress: shows how far it is.
    """
    bare = config.override({"guard.grad_norm_zscore": 0.0})
    policies: dict[str, tuple[Config, Callable[..., Any]]] = {
        "no guard": (bare, _nothing),
        "guard": (bare, _guarded),
        "guard and spike skip": (config, _guarded),
        "step decay": (bare, _step_decay),
        "reduce on plateau": (bare, _plateau),
    }
    trainers = {id(c): Trainer.from_config(c, mesh) for c in (bare, config)}
    bar = progress.add_task("rebounds", total=len(policies) * len(ACCIDENTS) * len(seeds), note="")
    outcomes = []
    for name, (c, policy) in policies.items():
        for accident in ACCIDENTS:
            for seed in seeds:
                outcomes.append(_train(trainers[id(c)], name, policy, accident, seed))
                progress.update(bar, advance=1, note=f"{name}, {accident}")
    return outcomes


def _train(
    trainer: Trainer, name: str, policy: Callable[..., Any], accident: Accident, seed: int
) -> RunOutcome:
    config, program = dataclasses.replace(trainer.config, seed=seed), trainer.program
    steps, window = config.train.steps, config.guard.window
    begin = round(steps * _AT) // window * window
    source = batch_source(config, trainer.training_data, trainer.windows).starting(0)
    rebound = Rebound(config.guard, program.abstract_state, [], None)
    state, decide = program.init(seed), policy(config, rebound)
    for step in range(steps):
        during = begin <= step < begin + _LASTS
        step_inputs = next(source)
        if accident == "a feed gone wrong" and during:
            step_inputs = _wrong(step_inputs)
        if accident == "a learning rate gone wrong" and step in (begin, begin + _LASTS):
            state = _at_rate(state, _RATE if step == begin else 1 / _RATE)
        state, _ = program.step(state, step_inputs, seed)
        if (step + 1) % window == 0:
            state = decide(step + 1, state)
    after = samples.split(trainer.market, config, config.evaluate.split)
    prediction = predict(
        program, state.ema_params, trainer.windows, after.row, config.train.global_batch_size
    )
    scores, last = score(prediction, after, config.targets), float(jnp.median(state.guard.losses))
    loss = scores["log_loss"] + scores["volatility_mse"]
    return RunOutcome(name, accident, seed, loss, last, rebound.history.rollbacks)


def _wrong(step_inputs: StepInputs) -> StepInputs:
    """Inverts directions and returns, and raises log volatility by 2."""
    t = step_inputs.batch.targets
    wrong = {
        "direction": 1 - t.label["direction"],
        "returns": -t.label["returns"],
        "volatility": t.label["volatility"] + 2,
    }
    spoilt = dataclasses.replace(t, label=wrong)
    return dataclasses.replace(
        step_inputs, batch=dataclasses.replace(step_inputs.batch, targets=spoilt)
    )


def _at_rate(state: TrainState, factor: float) -> TrainState:
    rate = state.guard.rate * np.float32(factor)
    return dataclasses.replace(state, guard=dataclasses.replace(state.guard, rate=rate))


def _nothing(config: Config, rebound: Rebound) -> Callable[[int, TrainState], TrainState]:
    return lambda step, state: state


def _guarded(config: Config, rebound: Rebound) -> Callable[[int, TrainState], TrainState]:
    def decide(step: int, state: TrainState) -> TrainState:
        rebound.hold(step, state)
        back = rebound.look().state
        return state if back is None else back

    return decide


def _step_decay(config: Config, rebound: Rebound) -> Callable[[int, TrainState], TrainState]:
    window = config.guard.window
    at = {round(config.train.steps * s) // window * window: f for s, f in _DECAY.items()}
    return lambda step, state: _at_rate(state, at[step]) if step in at else state


def _plateau(config: Config, rebound: Rebound) -> Callable[[int, TrainState], TrainState]:
    best, waited = np.inf, 0

    def decide(step: int, state: TrainState) -> TrainState:
        nonlocal best, waited
        loss = LossWindow.of(step, jax.device_get(state.guard.losses)).loss
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited < _PATIENCE:
            return state
        waited = 0
        return _at_rate(state, 0.5)

    return decide


def for_screen(outcomes: list[RunOutcome]) -> Table:
    """A row a policy and accident: mean ± std over seeds, paired difference from no guard."""
    table = Table(title="Loss after training", title_justify="left")
    for column in ("accident", "policy", "loss", "against no guard, 95 %", "went back"):
        table.add_column(column, justify="left" if column in ("accident", "policy") else "right")
    policies = list(dict.fromkeys(o.policy for o in outcomes))
    for accident in ACCIDENTS:
        plain = _losses(outcomes, "no guard", accident)
        for policy in policies:
            losses = _losses(outcomes, policy, accident)
            rollbacks = [
                o.rollbacks for o in outcomes if (o.policy, o.accident) == (policy, accident)
            ]
            table.add_row(
                accident,
                policy,
                f"{losses.mean():.4f} ± {losses.std(ddof=1):.4f}",
                "" if policy == "no guard" else _paired(losses - plain),
                f"{np.mean(rollbacks):.1f}",
            )
    return table


def _losses(outcomes: list[RunOutcome], policy: str, accident: str) -> np.ndarray:
    return np.array([o.loss for o in outcomes if (o.policy, o.accident) == (policy, accident)])


def _paired(difference: np.ndarray) -> str:
    half = stats.t.ppf(0.975, len(difference) - 1) * stats.sem(difference)
    mean = difference.mean()
    return f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]"
