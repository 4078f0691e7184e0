"""Random changes of training inputs, so that the model cannot rely on one easy feature.

Pure functions of the batch and a key, on the device: the same on any mesh and in a resumed run.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fusionjax.config import Config
from fusionjax.types import Batch


def augment(batch: Batch, config: Config, key: Array) -> Batch:
    """Applies ``config.augment`` to every input, then hides modalities.

    A setting of zero does nothing and costs nothing. Labels stay as they are; presence changes
    only for hidden modalities.
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
    present = jnp.stack([batch.present[n] for n in names], 1)
    shown = present & jax.random.bernoulli(key, 1 - rate, present.shape)
    shown = jnp.where(shown.any(1, keepdims=True), shown, present)
    return dataclasses.replace(batch, present={n: shown[:, i] for i, n in enumerate(names)})
