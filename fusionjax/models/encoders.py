"""One encoder a kind of modality: an input and its mask to tokens of the shared width."""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange, reduce
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from fusionjax.config import (
    ImageConfig,
    ModalityConfig,
    ModelConfig,
    NumericConfig,
    TextConfig,
    VectorConfig,
)
from fusionjax.models.layers import RMSNorm, Stack, dense, energy
from fusionjax.types import PIXELS_PER_SESSION, Documents, Image, Series, Tokens, Vector


def instance_normalise(
    x: Float[Array, "B T F"], mask: Bool[Array, "B T"]
) -> tuple[Float[Array, "B T F"], Float[Array, "B F"], Float[Array, "B F"]]:
    """Removes each window's own mean and standard deviation, channel by channel.

    The statistics are returned, so that nothing is lost: the way back is ``x * std + mean``. Kim et
    al., RevIN (2022). Masked sessions do not count and come out as zeros.
    """
    shown = mask[..., None].astype(x.dtype)
    count = jnp.maximum(shown.sum(1), 1)
    mean = (x * shown).sum(1) / count
    centred = (x - mean[:, None]) * shown
    std = jnp.sqrt((centred**2).sum(1) / count + 1e-5)
    return centred / std[:, None], mean, std


class NumericEncoder(nn.Module):
    """Patches of sessions, instance-normalised, with the removed statistics as a token of its own.

    Nie et al., PatchTST (2023), with all channels of a modality in one patch.
    """

    spec: NumericConfig
    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, series: Series) -> Tokens:
        c, patch = self.config, self.spec.patch
        x, mean, std = instance_normalise(series.x, series.mask)
        x = jnp.concatenate([x, series.mask[..., None].astype(x.dtype)], axis=-1)
        x = dense(c, c.width, "embed")(rearrange(x, "b (n p) f -> b n (p f)", p=patch))
        x = x + _positions(self, x.shape[1], c)
        statistics = jnp.concatenate([mean, jnp.log(std)], axis=-1)
        level = dense(c, c.width, "embed_statistics")(statistics)[:, None]
        mask = reduce(series.mask, "b (n p) -> b n", "any", p=patch)
        return Stack(c, self.deterministic, name="stack")(
            jnp.concatenate([level, x], axis=1),
            jnp.concatenate([mask.any(1, keepdims=True), mask], axis=1),
        )


class TextEncoder(nn.Module):
    """One token a document: what it says, how it scores, how old it is and who wrote it."""

    spec: TextConfig
    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, documents: Documents) -> Tokens:
        c = self.config
        author = nn.Embed(
            self.spec.author_buckets,
            c.width,
            name="author",
            dtype=jnp.dtype(c.compute_dtype),
            param_dtype=jnp.float32,
        )(documents.author)
        embedding = documents.embedding.astype(jnp.float32) * np.float32(
            np.sqrt(documents.embedding.shape[-1])
        )  # unit vectors to unit variance
        scalars = jnp.concatenate([documents.lexicon, _age_features(documents.age)], axis=-1)
        x = (
            dense(c, c.width, "embed")(embedding)
            + dense(c, c.width, "embed_scalars")(scalars)
            + author
        )
        return Stack(c, self.deterministic, name="stack")(x, documents.mask)


class ImageEncoder(nn.Module):
    """Non-overlapping patches of a picture (Dosovitskiy et al., ViT, 2021)."""

    spec: ImageConfig
    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, image: Image) -> Tokens:
        c = self.config
        pixels = image.pixels.astype(jnp.float32) / 127.5 - 1.0
        patches = rearrange(
            pixels,
            "b (y p) (x q) -> b (x y) (p q)",
            p=self.spec.patch_height,
            q=self.spec.patch_sessions * PIXELS_PER_SESSION,
        )
        x = dense(c, c.width, "embed")(patches)
        x = x + _positions(self, x.shape[1], c)
        return Stack(c, self.deterministic, name="stack")(x, jnp.ones(x.shape[:2], bool))


class VectorEncoder(nn.Module):
    """A two-layer perceptron over features computed elsewhere; one token.

    Without layers the features themselves, padded to the width: weights then speak of them.
    """

    spec: VectorConfig
    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, vector: Vector) -> Tokens:
        c = self.config
        x = vector.x.astype(jnp.dtype(c.compute_dtype))
        mask = jnp.ones((len(x), 1), bool)
        if c.layers == 0:
            x = jnp.pad(x, ((0, 0), (0, c.width - x.shape[1])))[:, None]
            return Tokens(x, mask, energy(x, mask))
        x = nn.Dropout(c.dropout, deterministic=self.deterministic)(x)
        x = dense(c, c.mlp_ratio * c.width, "embed")(x)[:, None]
        y = RMSNorm(name="norm")(dense(c, c.width, "mlp_out")(nn.gelu(x)))
        return Tokens(y, mask, energy(x, mask))


def encoder(
    spec: ModalityConfig,
    config: ModelConfig,
    deterministic: bool,
) -> nn.Module:
    """The encoder of a modality's kind."""
    kind: dict[type, type[nn.Module]] = {
        NumericConfig: NumericEncoder,
        TextConfig: TextEncoder,
        ImageConfig: ImageEncoder,
        VectorConfig: VectorEncoder,
    }
    return kind[type(spec)](spec, config, deterministic)


def _positions(module: nn.Module, count: int, config: ModelConfig) -> Float[Array, "1 N D"]:
    table = module.param(
        "positions",
        nn.initializers.normal(0.02),
        (count, config.width),
        jnp.float32,
    )
    return table[None].astype(jnp.dtype(config.compute_dtype))


def _age_features(hours: Float[Array, "B K"]) -> Float[Array, "B K 5"]:
    """Age on a log scale and as the phase of day and week."""
    day, week = 2 * np.pi * hours / 24, 2 * np.pi * hours / 168
    return jnp.stack(
        [jnp.log1p(jax.nn.relu(hours)), jnp.sin(day), jnp.cos(day), jnp.sin(week), jnp.cos(week)],
        axis=-1,
    )
