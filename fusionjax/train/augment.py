"""Training inputs changed at random, so that what is easy to exploit is not what is learned.

All on the device, as functions of the batch and a key: the same on any mesh and in a resumed run.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fusionjax.config import Config
from fusionjax.types import Batch


def augment(batch: Batch, config: Config, key: Array) -> Batch:
    """Applies ``config.augment`` to every input, then hides modalities.

    A setting of zero does nothing and costs nothing. Labels and presence stay what they are, but
    for the modalities that are hidden.
    """
    if any(dataclasses.astuple(config.augment)):
        inputs = {  # in a fixed order: jit sorts the keys of a dict
            name: m.augment(batch.inputs[name], config.augment, jax.random.fold_in(key, i))
            for i, (name, m) in enumerate(config.modalities.items())
        }
        batch = dataclasses.replace(batch, inputs=inputs)
    return hide_modalities(batch, config.train.modality_dropout, key)


def hide_modalities(batch: Batch, rate: float, key: Array) -> Batch:
    """Marks each present modality absent with probability ``rate``, but never a sample's last.

    ModDrop (Neverova et al., 2016): it keeps the model usable when a feed fails.
    """
    names = list(batch.present)
    here = jnp.stack([batch.present[n] for n in names], 1)
    kept = here & jax.random.bernoulli(key, 1 - rate, here.shape)
    kept = jnp.where(kept.any(1, keepdims=True), kept, here)
    return dataclasses.replace(batch, present={n: kept[:, i] for i, n in enumerate(names)})
