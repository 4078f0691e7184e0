"""The model: an encoder for each modality, one fusion, a few heads."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from fusionjax.config import Config
from fusionjax.models.heads import decode
from fusionjax.models.levels import LevelMap, level_columns
from fusionjax.parallel.rules import constrain_batch
from fusionjax.registry import FUSIONS
from fusionjax.types import Batch, Encoded, Forecast, Fused, Input, Tokens


class Forecaster(nn.Module):
    """Batch to Forecast. Any modality may be missing from any sample.

    ``encode`` and ``fuse`` are methods of their own, so that the teacher's fusion and heads can be
    applied to the output of the encoders in training.
    """

    config: Config
    deterministic: bool = True

    def setup(self) -> None:
        c = self.config
        for name, spec in c.modalities.items():
            setattr(self, f"encoders_{name}", spec.encoder(c.model, self.deterministic))
        self.fusion = FUSIONS[c.model.fusion](c, self.deterministic)
        self.levels = LevelMap(tuple(c.modalities), level_columns(c.targets))
        self.typical_log_scale = self.param(
            "typical_log_scale", nn.initializers.constant(np.log(0.01)), (), jnp.float32
        )
        self.gain = {
            name: self.param(f"gain_{name}", nn.initializers.zeros, (len(h.horizons),), jnp.float32)
            for name, h in c.stacked_heads.items()
        }

    def __call__(self, batch: Batch) -> Forecast:
        encoded = self.encode(batch)
        fused = self.fuse(encoded)
        heads, gain = self.config.targets, {**self.gain}
        outcome = decode(fused.outputs, encoded.log_scale, heads, batch.base, gain)
        return Forecast(outcome, fused.modality)

    def encode(self, batch: Batch) -> Encoded:
        """Encodes the modalities one by one in the config's order, backward in reverse order."""
        tokens: dict[str, Tokens] = {}
        before: Tokens | None = None
        levels: list[Array | None] = []
        for name, modality in self.config.modalities.items():
            value = _zero_absent(batch.inputs[name], batch.present[name])
            before = tokens[name] = getattr(self, f"encoders_{name}")(value, before)
            levels.append(modality.levels(value) if self.levels.columns else None)
        h, is_present, energy = pool(tokens, batch.present)
        given = any(x is not None for x in levels)
        none = jnp.zeros((h.shape[0], 0), jnp.float32)
        each = tuple(none if x is None else x for x in levels) if given else ()
        return Encoded(h, is_present, energy, self._log_scale(batch), levels=each)

    def fuse(self, encoded: Encoded) -> Fused:
        """Fuses all modalities into the heads' outputs, and adds what heads read from levels."""
        fused = self.fusion(encoded)
        if not encoded.levels:
            return fused
        outputs = self.levels(fused.outputs, encoded.levels, fused.modality > 0)
        return dataclasses.replace(fused, outputs=outputs)

    def _log_scale(self, batch: Batch) -> Float[Array, "B"]:
        """The batch's log volatility where experts forecast it or a modality with prices is
        present, else a learned constant.

        Without prices the volatility must not be known either. If no modality declares whether it
        shows prices, the batch's own scale is used.
        """
        shows_prices = {name: m.shows_prices for name, m in self.config.modalities.items()}
        if all(prices is None for prices in shows_prices.values()):
            return batch.log_scale
        priced = [batch.present[name] for name, prices in shows_prices.items() if prices]
        if batch.base is not None:
            heads = self.config.stacked_heads
            priced += [batch.base.known[n][:, 0] for n, head in heads.items() if head.is_scale]
        known = functools.reduce(jnp.logical_or, priced, jnp.zeros(batch.log_scale.shape, bool))
        return jnp.where(known, batch.log_scale, self.typical_log_scale)


def pool(
    tokens: dict[str, Tokens], present: dict[str, Bool[Array, "B"]]
) -> tuple[Float[Array, "B M D"], Bool[Array, "B M"], Float[Array, "B M"]]:
    """The mean of each modality's real tokens, whether it has any, and its input's energy.

    Absent modalities give zeros.
    """
    pooled, is_present, energies = [], [], []
    for name, t in tokens.items():
        mask = t.mask & present[name][:, None]
        has_tokens = mask.any(1)
        x = jnp.where(mask[..., None], t.x.astype(jnp.float32), 0.0)
        mean = x.sum(1) / jnp.maximum(mask.sum(1, keepdims=True), 1).astype(jnp.float32)
        pooled.append(mean.astype(t.x.dtype))
        is_present.append(has_tokens)
        energies.append(jnp.where(has_tokens, t.energy, 0.0))
    return constrain_batch(jnp.stack(pooled, 1)), jnp.stack(is_present, 1), jnp.stack(energies, 1)


def _zero_absent(value: Input, present: Bool[Array, "B"]) -> Input:
    """The input with zeros where it is absent: a NaN there would reach every gradient."""

    def clean(x: Array) -> Array:
        mask = jnp.expand_dims(present, range(1, x.ndim))
        return jnp.where(mask, x, jnp.zeros((), x.dtype))

    return jax.tree.map(clean, value)
