"""Why a network loses to a ridge on volatility: variants of one config, trained alike and paired.

What a variant changes is one thing that may hide the level of volatility, or keep the network from
finding it: instance normalisation, dropout, the number of steps, the fusion, the linear map.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from fusionjax.config import Config, ModelConfig
from fusionjax.data import samples
from fusionjax.data.audit import Audit
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.evaluate import losses
from fusionjax.evaluate.inference import Prediction, mean, predict
from fusionjax.heads.returns import Returns
from fusionjax.modalities.numeric import Numeric
from fusionjax.models.encoders.numeric import NumericEncoder, instance_normalise
from fusionjax.models.encoders.patches import patch_tokens
from fusionjax.train.loop import fit
from fusionjax.train.run import Trainer
from fusionjax.types import Series, Tokens
from studies.fusion import LEVEL_VARIANTS

_OFF: dict[str, Any] = {"train.levels_rate": 0.0}
_RAW = "as they are"  # windows that are not normalised
_CHANGES: dict[str, dict[str, Any]] = {
    "no linear map": _OFF,
    "linear map": {},
    "no instance normalisation": _OFF | {_RAW: True},
    "linear map, no instance normalisation": {_RAW: True},
    "no dropout": _OFF | {"model.dropout": 0.0, "train.modality_dropout": 0.0},
    "linear map, no dropout": {"model.dropout": 0.0, "train.modality_dropout": 0.0},
    "1,600 steps": _OFF | {"train.steps": 1600},
    "linear map, 1,600 steps": {"train.steps": 1600},
    "distilled": _OFF | {"model.fusion": "distilled"},
    "linear map, distilled": {"model.fusion": "distilled"},
}
assert tuple(_CHANGES) == LEVEL_VARIANTS


class RawEncoder(NumericEncoder):
    """Patches of the scaled channels, not normalised by their window."""

    @nn.compact
    def __call__(self, series: Series, before: Tokens | None = None) -> Tokens:
        _, centre, std = instance_normalise(series.x, series.mask)
        x = jnp.concatenate([series.x, series.mask[..., None].astype(series.x.dtype)], axis=-1)
        statistics = jnp.concatenate([centre, jnp.log(std)], axis=-1)
        return patch_tokens(self, x, series.mask, statistics, self.patch, before)


class Raw(Numeric):
    """Channels of the bars without instance normalisation."""

    def encoder(self, config: ModelConfig, deterministic: bool) -> nn.Module:
        return RawEncoder(self.patch, config, deterministic)


@dataclasses.dataclass(frozen=True)
class Row:
    """A variant's losses.

    Attributes:
      variant: its name.
      averaged: mean loss of the seeds' averaged forecasts, by loss.
      seeds: mean loss of each seed, by loss.
      rise: of each loss above the first variant's, seeds paired by day: mean and interval.
    """

    variant: str
    averaged: dict[str, float]
    seeds: dict[str, list[float]]
    rise: dict[str, tuple[float, float, float]]

    @property
    def header(self) -> str:
        """The first two lines of the table."""
        cells = [f"{k} | each seed | above the first" for k in self.averaged]
        return f"| | {' | '.join(cells)} |\n|{'---|' * (1 + 3 * len(cells))}"

    def __str__(self) -> str:
        """One line of a Markdown table."""
        cells = []
        for loss, value in self.averaged.items():
            each, (by, low, high) = np.array(self.seeds[loss]), self.rise[loss]
            interval = f"[{low:+.4f}, {high:+.4f}]" if np.isfinite(low) else "(too few days)"
            paired = f"{by:+.4f} {interval}" if by else "–"
            cells += [f"{value:.4f}", f"{each.mean():.4f} ± {each.std(ddof=1):.4f}", paired]
        return f"| {self.variant} | {' | '.join(cells)} |"


def changed(config: Config, variant: str) -> Config:
    """The config of a variant."""
    changes = dict(_CHANGES[variant])
    raw = changes.pop(_RAW, False)
    config = config.override(changes)
    if not raw:
        return config
    modalities = {
        name: Raw(**{f.name: getattr(m, f.name) for f in dataclasses.fields(m)})
        if type(m) is Numeric
        else m
        for name, m in config.modalities.items()
    }
    return dataclasses.replace(config, modalities=modalities)


def seeds(config: Config) -> tuple[int, ...]:
    """The config's seed and the four after it."""
    return tuple(range(config.seed, config.seed + 5))


def rows(
    market: Market, audited: Audit, config: Config, mesh: Mesh, variants: tuple[str, ...]
) -> Iterator[Row]:
    """Trains every variant with all ``seeds`` and scores it on ``evaluate.split``.

    Rows come as they end; all are paired with the first.
    """
    scored = samples.split(market, config, config.evaluate.split)
    first: list[dict[str, np.ndarray]] = []
    for variant in variants:
        trainer = Trainer.on(market, audited, changed(config, variant), mesh)
        each = [_forecast(trainer, scored, seed) for seed in seeds(config)]
        of_seed = [_losses(p, scored, config) for p in each]
        first = first or of_seed
        rise = losses.rise(of_seed, first, scored, config)
        yield Row(
            variant,
            _means(_losses(mean(each), scored, config)),
            {k: [_means(x)[k] for x in of_seed] for k in first[0]},
            {k: (e.value, *e.interval()) for k, e in rise.items()},
        )


def _forecast(trainer: Trainer, scored: Samples, seed: int) -> Prediction:
    run = trainer.with_seed(seed, f"seed {seed}")
    state = fit(run, trainer.training_data)
    size = trainer.config.train.global_batch_size
    return predict(run.program, state.ema_params, run.windows, scored.row, size)


def _losses(forecast: Prediction, scored: Samples, config: Config) -> dict[str, np.ndarray]:
    """The loss of each sample in each head; NaN without a label."""
    found = losses.sample_losses(forecast, scored, config.targets)
    for name, head in config.targets.items():
        if isinstance(head, Returns):
            t, q = scored.targets, np.array(head.quantiles)
            error = t.label[name][:, :1].astype(float) - forecast.value[name][:, 0]
            pinball = np.maximum(q * error, (q - 1) * error).mean(1)
            found["pinball, 1e-4"] = np.where(t.mask[name][:, 0], 1e4 * pinball, np.nan)
    return found


def _means(of_samples: dict[str, np.ndarray]) -> dict[str, float]:
    return {k: float(np.nanmean(x)) for k, x in of_samples.items()}
