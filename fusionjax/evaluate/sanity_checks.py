"""Sanity checks before a long training, on the config's own data, windows, encoders and mesh.

The model must learn a label that is one of its inputs, overfit a few real samples, and in a short
training prefer the config's learning rate to much lower and higher ones.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jax.sharding import Mesh

from fusionjax import streams
from fusionjax.config import Config
from fusionjax.data.pooled import pooled_features
from fusionjax.data.samples import Samples, TrainingData, period, split
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.evaluate import losses
from fusionjax.evaluate.inference import predict
from fusionjax.evaluate.selection import Selection, objective
from fusionjax.train.job import Run
from fusionjax.train.loop import fit
from fusionjax.train.run import make_program
from fusionjax.types import Targets

_TOY, _BY_HEART = 20_000, 256  # samples
_TOY_STEPS, _HEART_STEPS = 400, 800
_TOY_ACCURACY = 0.8  # on other samples, where the label is among the inputs
_OVERFIT_LOSS = 0.01  # nats
_SMALL = 5  # how many times fewer steps
_RATES = (0.3, 1.0, 3.0)  # of the learning rate
_TOLERANCE = 0.05  # relative: so much lower may the objective be at another rate
_CLASSIFIER_ONLY = {
    "train.balance": "",
    "distill.soft_labels": 0.0,
    "distill.refit_fraction": 1.0,  # fusion weights stay fixed; they are not tested
}
# Without regularisation, so that samples can be learned by heart.
_PLAIN = {
    "model.dropout": 0.0,
    "train.modality_dropout": 0.0,
    "train.weight_decay": 0.0,
    "train.ema_decay": 0.0,
}


@dataclasses.dataclass(frozen=True)
class SanityCheck:
    """One check and its result."""

    name: str
    passed: bool
    figure: str
    means: str  # what a failure usually means


def run(market: Market, config: Config, mesh: Mesh) -> Iterator[SanityCheck]:
    """Yields each check once it has run; ends after the first that fails."""
    for check in (_toy, _by_heart, _small):
        result = check(market, config, mesh)
        yield result
        if not result.passed:
            return


def require_passed(checks: list[SanityCheck]) -> None:
    """Raises InputError for a check that failed."""
    for check in checks:
        if not check.passed:
            raise InputError(f"gate {check.name} failed: {check.figure}. {check.means}")


def _toy(market: Market, config: Config, mesh: Mesh) -> SanityCheck:
    """The label is whether one input is above its median; a working model learns it."""
    samples = split(market, config, config.train.split)
    chosen = streams.generator(config.seed, "toy").permutation(len(samples))[:_TOY]
    samples = samples.take(np.sort(chosen))
    windows = _windows(market, config)
    pooled = pooled_features(windows, samples.row)
    informative = int(np.argmax(np.nanstd(pooled, 0) > 1e-6))
    value = np.nan_to_num(pooled[:, informative], nan=float(np.nanmedian(pooled[:, informative])))
    label = (value > np.median(value)).astype(np.int32)
    name, head = config.classifier
    labels = np.repeat(label[:, None], len(head.horizons), 1)
    t = samples.targets
    targets = Targets(t.label | {name: labels}, t.mask | {name: np.ones_like(labels, bool)})
    samples = dataclasses.replace(samples, targets=targets)
    held = np.arange(len(samples)) % 4 == 0
    loss = _losses(samples.take(~held), samples.take(held), config, windows, mesh, _TOY_STEPS)
    accuracy = float((loss < np.log(2)).mean())
    return SanityCheck(
        "toy",
        accuracy >= _TOY_ACCURACY,
        f"{accuracy:.1%} of {held.sum()} other samples right where the answer is an input "
        f"(expected: {_TOY_ACCURACY:.0%})",
        "inputs do not reach the heads: look at scaling, masks, present flags and the encoder of "
        "the first modality, then at the learning rate",
    )


def _by_heart(market: Market, config: Config, mesh: Mesh) -> SanityCheck:
    """A few real samples, with their real labels, must be learned by heart."""
    samples = split(market, config, config.train.split)
    samples = samples.take(samples.targets.mask[config.classifier[0]][:, 0])
    chosen = streams.generator(config.seed, "by heart").permutation(len(samples))[:_BY_HEART]
    samples = samples.take(np.sort(chosen))
    augment = {f.name: type(getattr(config.augment, f.name))() for f in
               dataclasses.fields(config.augment)}  # fmt: skip
    plain = config.override(_PLAIN | {f"augment.{name}": none for name, none in augment.items()})
    loss = _losses(samples, samples, plain, _windows(market, config), mesh, _HEART_STEPS).mean()
    return SanityCheck(
        "by heart",
        bool(loss < _OVERFIT_LOSS),
        f"log loss {loss:.4f} on {len(samples)} real samples after {_HEART_STEPS} steps "
        f"(expected: below {_OVERFIT_LOSS})",
        "the model is too small or too strongly regularised, the learning rate is off, or the same "
        "input comes with two labels (duplicates: fusionjax prepare --audit)",
    )


def _small(market: Market, config: Config, mesh: Mesh) -> SanityCheck:
    """A short training on one fold: finite, and no other learning rate is far better."""
    small = config.override(
        {
            "train.steps": max(config.train.steps // _SMALL, 1),
            "train.extensions": (),
            "train.warmup_steps": config.train.warmup_steps // _SMALL,
            "selection.scheme": "walk_forward",
            "selection.folds": 1,
        }
    )
    objectives = {}
    for factor in _RATES:
        rate = config.train.learning_rate * factor
        scores = Selection(market, small.override({"train.learning_rate": rate}), mesh).scores(0)
        objectives[factor] = objective(scores, config.targets)
    best = min(objectives, key=lambda k: objectives[k] if np.isfinite(objectives[k]) else np.inf)
    listed = ", ".join(f"{v:.4f} at × {k:g}" for k, v in objectives.items())
    finite = bool(np.isfinite(list(objectives.values())).all())
    return SanityCheck(
        "small scale",
        finite and objectives[1.0] <= objectives[best] * (1 + _TOLERANCE),
        f"objective by learning rate, {small.train.steps} steps: {listed}",
        f"the learning rate is off by a factor of about {best:g}: try "
        f"--config.train.learning_rate={config.train.learning_rate * best:g}, and "
        "fusionjax sweep --config.sweep.method=sensitivity for the rest",
    )


def _windows(market: Market, config: Config) -> Windows:
    _, last = period(config.data, config.train.split)
    return Windows(market, config, Scaler.fit(market, last))


def _losses(
    train: Samples, test: Samples, config: Config, windows: Windows, mesh: Mesh, steps: int
) -> np.ndarray:
    """Trains only the classifier on some samples; returns its log loss on others."""
    name, head = config.classifier
    weights = {f"targets.{k}.weight": float(k == name) for k in config.targets}
    c = config.override(
        {
            **_CLASSIFIER_ONLY,
            **weights,
            "train.steps": steps,
            "train.extensions": (),
            "train.warmup_steps": steps // 10,
            "train.log_every": steps // 10,
        }
    )
    program = make_program(c, mesh, windows)
    run = Run(c, windows, program, f"{len(train)} samples")
    state = fit(run, TrainingData(train, None, None))
    prediction = predict(program, state.ema_params, windows, test.row, c.train.global_batch_size)
    return losses.sample_losses(prediction, test, c.targets)[head.loss_title]
