"""Pictures: non-overlapping patches."""

import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn

from fusionjax.config import ModelConfig
from fusionjax.models.encoders.patches import positions
from fusionjax.models.layers import Stack, dense
from fusionjax.parallel.rules import constrain_batch
from fusionjax.types import ImageInput, Tokens

_STEM = (16, 32, 64)  # features of 2, 4 and 8 pixels a side


class ImageEncoder(nn.Module):
    """One token a patch, down each column and then to the right (Dosovitskiy et al., ViT, 2021).

    Patches of charts are embedded directly. In pictures, shared small layers first merge 2 × 2
    neighbours repeatedly, up to the size of a patch: from few pictures a linear patch embedding
    does not learn lines (Xiao et al., Early Convolutions, 2021).
    """

    patch: tuple[int, int]  # pixels, height and width
    merges: bool  # whether 2 × 2 neighbours are merged first
    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, image: ImageInput, before: Tokens | None = None) -> Tokens:
        c, (height, width) = self.config, self.patch
        x = (image.pixels.astype(jnp.float32) / 127.5 - 1.0)[..., None]
        for i, features in enumerate(_STEM if self.merges else ()):
            if height % 2 or width % 2:
                break
            x = rearrange(x, "b (y p) (x q) f -> b y x (p q f)", p=2, q=2)
            x = nn.gelu(dense(c, features, f"stem_{i}")(x))
            height, width = height // 2, width // 2
        patches = rearrange(x, "b (y p) (x q) f -> b (x y) (p q f)", p=height, q=width)
        x = constrain_batch(dense(c, c.width, "embed")(patches))
        x = x + positions(self, x.shape[1], c)
        return Stack(c, self.deterministic, name="stack")(x, jnp.ones(x.shape[:2], bool), before)
