"""Video: tubelets, attended over space first and then over time."""

import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn

from fusionjax.config import ModelConfig
from fusionjax.models.encoders.patches import positions
from fusionjax.models.layers import Stack, dense
from fusionjax.parallel.rules import constrain_batch
from fusionjax.types import Clip, Tokens


class VideoEncoder(nn.Module):
    """One token a moment: tubelets are mixed within a moment, then moments with each other.

    The factorised encoder of ViViT (Arnab et al., 2021, model 2): its cost is that of one picture a
    moment plus one short sequence.
    """

    patch: int  # pixels, along both sides
    patch_frames: int
    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, clip: Clip, before: Tokens | None = None) -> Tokens:
        c, patch = self.config, self.patch
        pixels = clip.pixels.astype(jnp.float32) / 127.5 - 1.0
        tubelets = rearrange(
            pixels,
            "b (t f) (y p) (x q) -> b t (y x) (f p q)",
            f=self.patch_frames,
            p=patch,
            q=patch,
        )
        moments = tubelets.shape[1]
        x = constrain_batch(dense(c, c.width, "embed")(tubelets))
        x = rearrange(x, "b t n d -> (b t) n d")
        x = x + positions(self, x.shape[1], c)
        space = Stack(c, self.deterministic, name="space")(x, jnp.ones(x.shape[:2], bool), before)
        x = rearrange(space.x.mean(1), "(b t) d -> b t d", t=moments)
        x = x + positions(self, moments, c, "moment_positions")
        time = Stack(c, self.deterministic, name="time")(x, jnp.ones(x.shape[:2], bool))
        energy = rearrange(space.energy, "(b t) -> b t", t=moments).mean(1)
        return Tokens(time.x, time.mask, energy)
