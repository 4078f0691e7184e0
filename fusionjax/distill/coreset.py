"""Coresets: selects the training samples that are worth training on."""

import numpy as np
from jaxtyping import Float, Int64

from fusionjax import streams


def choose(
    belief: Float[np.ndarray, "N C"],
    label: Int64[np.ndarray, "N"],
    share: float,
    seed: int,
) -> Int64[np.ndarray, "K"]:
    """Positions of a coreset: samples whose label a trained model predicts.

    Drawn without replacement, in proportion to how far the label's probability is above chance
    (weighted reservoir, Efraimidis & Spirakis, 2006). Samples with another prediction, mostly noise
    and exceptions, come last.

    Args:
      belief: class probabilities of a model trained on all samples; rows sum to 1. A row of NaN,
        a sample without a known label, comes last too.
      label: of each sample.
      share: of the samples to choose, in (0, 1].
      seed: of the drawing.

    Returns:
      Positions, rising.
    """
    label_probability = belief[np.arange(len(label)), label]
    agrees = label_probability >= belief.max(1)
    weight = np.where(agrees, label_probability - 1 / belief.shape[1], 0.0)
    arrival = streams.generator(seed, "coreset").exponential(size=len(label))
    priority = np.where(weight > 0, arrival / np.maximum(weight, 1e-12), np.inf)
    order = np.lexsort((arrival, priority))
    return np.sort(order[: _size(len(label), share)])


def draw(count: int, share: float, seed: int) -> Int64[np.ndarray, "K"]:
    """A random subset of ``count`` positions, rising: the baseline of ``choose``."""
    rng = streams.generator(seed, "random subset")
    return np.sort(rng.choice(count, _size(count, share), replace=False))


def _size(count: int, share: float) -> int:
    return max(round(share * count), 1)
