"""Decodes the outputs of a fusion, which holds the heads' parameters, to their forecasts."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from fusionjax.config import Config, Heads
from fusionjax.types import Outcome


def output_size(heads: Heads) -> int:
    """O: the number of outputs of all heads together."""
    return sum(head.size for head in heads.values())


def output_slices(heads: Heads) -> dict[str, slice]:
    """The slice of the outputs that belongs to each head, in the config's order."""
    slices, start = {}, 0
    for name, head in heads.items():
        slices[name] = slice(start, start + head.size)
        start += head.size
    return slices


def decode(
    outputs: Float[Array, "*rows O"], log_scale: Float[Array, "*rows"], heads: Heads
) -> Outcome:
    """Each head's forecast from its outputs, in float32."""
    ends = [at.stop for at in output_slices(heads).values()]
    parts = jnp.split(outputs.astype(jnp.float32), ends[:-1], axis=-1)
    return {
        name: head.decode(part, log_scale)
        for (name, head), part in zip(heads.items(), parts, strict=True)
    }


def class_outputs(config: Config) -> slice:
    """The slice of the class logits of ``config.classifier`` at its first horizon."""
    name, head = config.classifier
    start = output_slices(config.targets)[name].start
    return slice(start, start + head.width)


def class_logits(outputs: Float[Array, "*rows O"], config: Config) -> Float[Array, "*rows C"]:
    """The outputs at ``class_outputs``."""
    return outputs[..., class_outputs(config)]
