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


def believe(labels: Labels, teacher: Outcome, noise: Float[Array, ""]) -> Labels:
    """What the true direction probably is, given the teacher and a label that may be wrong.

    Bayes' rule with a label that is any other class with probability ``noise``: an uncertain label
    moves toward the teacher, a contradicted one is corrected (the E-step of Mnih & Hinton, 2012).
    The share left on the given class is the sample's weight: near 0 for a wrong label.
    """
    belief = jax.nn.softmax(jax.lax.stop_gradient(teacher.direction_logits))
    classes = belief.shape[-1]
    seen = labels.direction * (1 - noise) + (1 - labels.direction) * noise / (classes - 1)
    posterior = belief * seen
    posterior = posterior / posterior.sum(-1, keepdims=True)
    return dataclasses.replace(labels, direction=posterior)


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
