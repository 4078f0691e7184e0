"""Training targets of the heads: the labels, or labels mixed with the teacher's forecasts."""

import jax
from jaxtyping import Array, Float

from fusionjax.config import Heads
from fusionjax.types import Labels, Outcome, Targets


def hard(targets: Targets, heads: Heads) -> Labels:
    """The labels as training targets; masks stay in ``Targets``."""
    return {name: head.target(targets.label[name]) for name, head in heads.items()}


def soften(labels: Labels, teacher: Outcome, share: Float[Array, ""], heads: Heads) -> Labels:
    """``(1 - share)·label + share·teacher``, in the heads that support it (``Head.soften``)."""
    teacher = jax.lax.stop_gradient(teacher)
    return {name: head.soften(labels[name], teacher[name], share) for name, head in heads.items()}
