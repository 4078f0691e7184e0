"""A linear map from the modalities' levels straight to the outputs of heads that declare it."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from fusionjax.config import Heads
from fusionjax.models.heads import output_slices


def level_columns(heads: Heads) -> tuple[int, ...]:
    """The outputs of the heads with ``reads_levels``."""
    slices = output_slices(heads)
    return tuple(i for n, h in heads.items() if h.reads_levels for i in _indices(slices[n]))


def _indices(columns: slice) -> range:
    return range(columns.start, columns.stop)


class LevelMap(nn.Module):
    """Adds ``Σ_m levels_m · W_m`` to some outputs, over the modalities that the fusion uses.

    On the way through an encoder levels are lost that a linear model reads at once; docs/fusion.md
    has what this is worth. W starts at zero. There is no dropout on the way
    and no intercept: levels say themselves what is known (``Modality.levels``).

    Attributes:
      names: of the modalities.
      columns: of the outputs [B, O] that it adds to.
    """

    names: tuple[str, ...]
    columns: tuple[int, ...]

    @nn.compact
    def __call__(
        self,
        outputs: Float[Array, "B O"],
        levels: tuple[Float[Array, "B _"], ...],
        used: Bool[Array, "B M"],
    ) -> Float[Array, "B O"]:
        total = jnp.zeros((outputs.shape[0], len(self.columns)), jnp.float32)
        for i, (name, x) in enumerate(zip(self.names, levels, strict=True)):
            if x.shape[1]:
                shape = x.shape[1], len(self.columns)
                slopes = self.param(f"{name}_slopes", nn.initializers.zeros, shape, jnp.float32)
                total += jnp.where(used[:, i, None], x @ slopes, 0.0)
        return outputs.at[:, np.array(self.columns)].add(total)
