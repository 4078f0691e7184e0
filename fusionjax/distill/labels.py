"""What the heads learn towards: the labels as given, or mixed with what the teacher says."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from fusionjax.types import Outcome, Targets


@struct.dataclass
class Labels:
    """Targets as the loss wants them; masks stay with ``Targets``."""

    direction: Float[Array, "B H1 C"]  # probabilities
    returns: Float[Array, "B H2"]
    log_volatility: Float[Array, "B H3"]


def hard(targets: Targets, classes: int) -> Labels:
    """The labels as given."""
    one_hot = jax.nn.one_hot(targets.direction, classes, dtype=jnp.float32)
    return Labels(one_hot, targets.returns, targets.log_volatility)


def soften(labels: Labels, teacher: Outcome, share: Float[Array, ""]) -> Labels:
    """``(1 - share)·label + share·teacher`` for direction and volatility.

    Hinton et al. (2015) with the teacher's own temperature. Return quantiles keep their label: the
    teacher's quantiles are no draw of a return.
    """
    teacher = jax.lax.stop_gradient(teacher)
    direction = jax.nn.softmax(teacher.direction_logits)
    return dataclasses.replace(
        labels,
        direction=(1 - share) * labels.direction + share * direction,
        log_volatility=(1 - share) * labels.log_volatility + share * teacher.log_volatility,
    )
