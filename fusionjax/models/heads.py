"""Decodes the outputs of a fusion, which holds the heads' parameters, to their forecasts."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from fusionjax.config import Config, Heads
from fusionjax.types import Base, Outcome


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
    outputs: Float[Array, "B O"],
    log_scale: Float[Array, "B"],
    heads: Heads,
    base: Base | None = None,
    gain: dict[str, Float[Array, "_"]] | None = None,
) -> Outcome:
    """Each head's forecast from its outputs, in float32.

    Args:
      outputs: of a fusion, or of one modality's expert.
      log_scale: see ``Batch``.
      heads: of the config.
      base: what outputs correct, where it is known; elsewhere they are the whole forecast.
      gain: by head and horizon, how much of the correction counts; all of it if None.
    """
    ends = [at.stop for at in output_slices(heads).values()]
    parts = jnp.split(outputs.astype(jnp.float32), ends[:-1], axis=-1)
    outcome = {}
    for (name, head), part in zip(heads.items(), parts, strict=True):
        outcome[name] = head.decode(part, log_scale)
        if base is None or name not in base.value:
            continue
        weighed = part if gain is None else part * jnp.repeat(gain[name], head.width)[None]
        corrected = head.correct(base.value[name], weighed, log_scale)
        known = jnp.expand_dims(base.known[name], range(2, corrected.ndim))
        outcome[name] = jnp.where(known, corrected, outcome[name])
    return outcome


def class_outputs(config: Config) -> slice:
    """The slice of the class logits of ``config.classifier`` at its first horizon."""
    name, head = config.classifier
    start = output_slices(config.targets)[name].start
    return slice(start, start + head.width)


def class_logits(outputs: Float[Array, "*rows O"], config: Config) -> Float[Array, "*rows C"]:
    """The outputs at ``class_outputs``."""
    return outputs[..., class_outputs(config)]
