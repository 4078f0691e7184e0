"""Pictures: non-overlapping patches."""

import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn

from fusionjax.config import ChartConfig, ImageConfig, ModelConfig
from fusionjax.models.encoders.patches import positions
from fusionjax.models.layers import Stack, dense
from fusionjax.types import PIXELS_PER_SESSION, Image, Tokens


class ImageEncoder(nn.Module):
    """One token a patch, down each column and then to the right (Dosovitskiy et al., ViT, 2021).

    The right edge of a chart is its newest session.
    """

    spec: ChartConfig | ImageConfig
    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, image: Image) -> Tokens:
        c = self.config
        if isinstance(self.spec, ChartConfig):
            height = self.spec.patch_height
            width = self.spec.patch_sessions * PIXELS_PER_SESSION
        else:
            height = width = self.spec.patch
        pixels = image.pixels.astype(jnp.float32) / 127.5 - 1.0
        patches = rearrange(pixels, "b (y p) (x q) -> b (x y) (p q)", p=height, q=width)
        x = dense(c, c.width, "embed")(patches)
        x = x + positions(self, x.shape[1], c)
        return Stack(c, self.deterministic, name="stack")(x, jnp.ones(x.shape[:2], bool))
