"""From a fusion's outputs to the heads' forecasts; what heads learn is in the fusion."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from fusionjax.config import Config
from fusionjax.types import Outcome

Heads = Mapping[str, Any]  # of heads.base.Head, by name: ``config.targets``


def output_size(heads: Heads) -> int:
    """O: numbers that all heads together need."""
    return sum(head.size for head in heads.values())


def places(heads: Heads) -> dict[str, slice]:
    """Which of the outputs are each head's: side by side, in the config's order."""
    found, start = {}, 0
    for name, head in heads.items():
        found[name] = slice(start, start + head.size)
        start += head.size
    return found


def decode(
    outputs: Float[Array, "*rows O"], log_scale: Float[Array, "*rows"], heads: Heads
) -> Outcome:
    """What each head makes of its outputs, in float32."""
    ends = [at.stop for at in places(heads).values()]
    parts = jnp.split(outputs.astype(jnp.float32), ends[:-1], axis=-1)
    return {
        name: head.decode(part, log_scale)
        for (name, head), part in zip(heads.items(), parts, strict=True)
    }


def class_outputs(config: Config) -> slice:
    """Which of the outputs are class logits: those of ``config.classifier``, first horizon."""
    name, head = config.classifier
    start = places(config.targets)[name].start
    return slice(start, start + head.width)


def class_logits(outputs: Float[Array, "*rows O"], config: Config) -> Float[Array, "*rows C"]:
    """The outputs at ``class_outputs``."""
    return outputs[..., class_outputs(config)]
