"""The sanity checks: what must work before a long training is worth its cost, step by step.

A known answer is learned, a few real samples are learned by heart, a small training reacts to its
settings as one should. The gates run on the config's own data, windows, encoders and mesh.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jax.sharding import Mesh

from fusionjax.config import Config
from fusionjax.data.samples import Samples, TrainingData, period, split
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.evaluate import losses
from fusionjax.evaluate.features import pooled_features
from fusionjax.evaluate.inference import predict
from fusionjax.evaluate.selection import Selection, objective
from fusionjax.train.job import Run
from fusionjax.train.loop import fit
from fusionjax.train.run import make_program
from fusionjax.types import Targets

_TOY, _BY_HEART = 20_000, 256  # samples
_TOY_STEPS, _HEART_STEPS = 400, 800
_TOLD = 0.8  # accuracy on other samples where the answer is among the inputs
_KNOWN = 0.01  # nats left of what was learned by heart
_SMALL = 5  # how many times fewer steps
_RATES = (0.3, 1.0, 3.0)  # of the learning rate
_WORSE = 0.05  # of the objective: so much may be lost to another rate
_ALONE = {
    "train.balance": "",
    "distill.soft_labels": 0.0,
    "distill.refit_fraction": 1.0,  # the fusion's weights stay; they are not what is tested
}
# Nothing that stands in the way of learning by heart.
_PLAIN = {
    "model.dropout": 0.0,
    "train.modality_dropout": 0.0,
    "train.weight_decay": 0.0,
    "train.ema_decay": 0.0,
}


@dataclasses.dataclass(frozen=True)
class SanityCheck:
    """One step of the ladder and how it came out."""

    name: str
    passed: bool
    figure: str
    means: str  # what a failure usually means


def run(market: Market, config: Config, mesh: Mesh) -> Iterator[SanityCheck]:
    """Yields each gate as it is tried; ends after the first that fails."""
    for check in (_toy, _by_heart, _small):
        made = check(market, config, mesh)
        yield made
        if not made.passed:
            return


def require_passed(checks: list[SanityCheck]) -> None:
    """Raises InputError for a gate that failed."""
    for check in checks:
        if not check.passed:
            raise InputError(f"gate {check.name} failed: {check.figure}. {check.means}")


def _toy(market: Market, config: Config, mesh: Mesh) -> SanityCheck:
    """The label is whether an input is above its median: then it must be learned."""
    samples = split(market, config, config.train.split)
    chosen = np.random.default_rng(config.seed).permutation(len(samples))[:_TOY]
    samples = samples.take(np.sort(chosen))
    windows = _windows(market, config)
    pooled = pooled_features(windows, samples.row)
    told = int(np.argmax(np.nanstd(pooled, 0) > 1e-6))
    value = np.nan_to_num(pooled[:, told], nan=float(np.nanmedian(pooled[:, told])))
    label = (value > np.median(value)).astype(np.int32)
    name, head = config.classifier
    labels = np.repeat(label[:, None], len(head.horizons), 1)
    t = samples.targets
    targets = Targets(t.label | {name: labels}, t.mask | {name: np.ones_like(labels, bool)})
    samples = dataclasses.replace(samples, targets=targets)
    held = np.arange(len(samples)) % 4 == 0
    loss = _losses(samples.take(~held), samples.take(held), config, windows, mesh, _TOY_STEPS)
    right = float((loss < np.log(2)).mean())
    return SanityCheck(
        "toy",
        right >= _TOLD,
        f"{right:.1%} of {held.sum()} other samples right where the answer is an input "
        f"(wanted: {_TOLD:.0%})",
        "inputs do not reach the heads: look at scaling, masks, present flags and the encoder of "
        "the first modality, then at the learning rate",
    )


def _by_heart(market: Market, config: Config, mesh: Mesh) -> SanityCheck:
    """A few real samples, with their real labels, must be learned by heart."""
    samples = split(market, config, config.train.split)
    samples = samples.take(samples.targets.mask[config.classifier[0]][:, 0])
    chosen = np.random.default_rng(config.seed).permutation(len(samples))[:_BY_HEART]
    samples = samples.take(np.sort(chosen))
    augment = {f.name: type(getattr(config.augment, f.name))() for f in
               dataclasses.fields(config.augment)}  # fmt: skip
    plain = config.override(_PLAIN | {f"augment.{name}": none for name, none in augment.items()})
    loss = _losses(samples, samples, plain, _windows(market, config), mesh, _HEART_STEPS).mean()
    return SanityCheck(
        "by heart",
        bool(loss < _KNOWN),
        f"log loss {loss:.4f} on {len(samples)} real samples after {_HEART_STEPS} steps "
        f"(wanted: below {_KNOWN})",
        "the model is too small or too strongly regularised, the learning rate is off, or the same "
        "input comes with two labels (duplicates: launch/prepare.py --audit)",
    )


def _small(market: Market, config: Config, mesh: Mesh) -> SanityCheck:
    """A short training on one fold: finite, and no other learning rate is far better."""
    small = config.override(
        {
            "train.steps": max(config.train.steps // _SMALL, 1),
            "train.warmup_steps": config.train.warmup_steps // _SMALL,
            "selection.scheme": "walk_forward",
            "selection.folds": 1,
        }
    )
    found = {}
    for times in _RATES:
        rate = config.train.learning_rate * times
        got = Selection(market, small.override({"train.learning_rate": rate}), mesh).scores(0)
        found[times] = objective(got, config)
    best = min(found, key=lambda k: found[k] if np.isfinite(found[k]) else np.inf)
    told = ", ".join(f"{v:.4f} at × {k:g}" for k, v in found.items())
    fine = bool(np.isfinite(list(found.values())).all())
    return SanityCheck(
        "small scale",
        fine and found[1.0] <= found[best] * (1 + _WORSE),
        f"objective by learning rate, {small.train.steps} steps: {told}",
        f"the learning rate is off by a factor of about {best:g}: try "
        f"--config.train.learning_rate={config.train.learning_rate * best:g}, and "
        "launch/sweep.py --config.sweep.method=sensitivity for the rest",
    )


def _windows(market: Market, config: Config) -> Windows:
    _, last = period(config, config.train.split)
    return Windows(market, config, Scaler.fit(market, last))


def _losses(
    learned: Samples, asked: Samples, config: Config, windows: Windows, mesh: Mesh, steps: int
) -> np.ndarray:
    """Trains on some samples, for the classes alone; their log loss on others."""
    name, head = config.classifier
    weights = {f"targets.{k}.weight": float(k == name) for k in config.targets}
    c = config.override(
        {
            **_ALONE,
            **weights,
            "train.steps": steps,
            "train.warmup_steps": steps // 10,
            "train.log_every": steps // 10,
        }
    )
    program = make_program(c, mesh, windows)
    run = Run(c, windows, program, f"{len(learned)} samples")
    state = fit(run, TrainingData(learned, None, None))
    said = predict(program, state.ema_params, windows, asked.row, c.train.global_batch_size)
    return losses.sample_losses(said, asked, c)[head.loss_title]
