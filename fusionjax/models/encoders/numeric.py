"""Channels of bars, or any series of features: patches of sessions or frames."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from fusionjax.config import ModelConfig
from fusionjax.models.encoders.patches import patch_tokens
from fusionjax.types import Series, Tokens


def instance_normalise(
    x: Float[Array, "B T F"], mask: Bool[Array, "B T"]
) -> tuple[Float[Array, "B T F"], Float[Array, "B F"], Float[Array, "B F"]]:
    """Normalises each window channel by channel; also returns mean and standard deviation.

    Kim et al., RevIN (2022). Masked sessions do not count and become zeros.
    """
    real = mask[..., None].astype(x.dtype)
    count = jnp.maximum(real.sum(1), 1)
    mean = (x * real).sum(1) / count
    centred = (x - mean[:, None]) * real
    std = jnp.sqrt((centred**2).sum(1) / count + 1e-5)
    return centred / std[:, None], mean, std


class NumericEncoder(nn.Module):
    """Patches of sessions, instance-normalised, with the removed statistics as an extra token.

    Nie et al., PatchTST (2023), with all channels of a modality in one patch.
    """

    patch: int  # sessions or frames a token
    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, series: Series, before: Tokens | None = None) -> Tokens:
        x, mean, std = instance_normalise(series.x, series.mask)
        x = jnp.concatenate([x, series.mask[..., None].astype(x.dtype)], axis=-1)
        statistics = jnp.concatenate([mean, jnp.log(std)], axis=-1)
        return patch_tokens(self, x, series.mask, statistics, self.patch, before)
