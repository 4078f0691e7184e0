"""Active selection: which training samples are worth training on."""

import numpy as np
from jaxtyping import Float, Int64


def choose(
    belief: Float[np.ndarray, "N C"],
    label: Int64[np.ndarray, "N"],
    share: float,
    seed: int,
) -> Int64[np.ndarray, "K"]:
    """Positions of a coreset: samples whose label a trained model would have given too.

    Drawn without replacement in proportion to how far its probability is above chance (weighted
    reservoir, Efraimidis & Spirakis, 2006). What it would have labelled otherwise, mostly noise
    and hidden exceptions, comes last.

    Args:
      belief: what a model that was trained on all of them says of each class; rows sum to 1. A row
        of NaN has no label to judge by and comes last too.
      label: of each sample.
      share: of the samples to choose, in (0, 1].
      seed: of the drawing.

    Returns:
      Positions, rising.
    """
    own = belief[np.arange(len(label)), label]
    agrees = own >= belief.max(1)
    weight = np.where(agrees, own - 1 / belief.shape[1], 0.0)
    wait = np.random.default_rng([seed, 31]).exponential(size=len(label))
    turn = np.where(weight > 0, wait / np.maximum(weight, 1e-12), np.inf)
    order = np.lexsort((wait, turn))
    return np.sort(order[: _size(len(label), share)])


def draw(count: int, share: float, seed: int) -> Int64[np.ndarray, "K"]:
    """As many of ``count`` positions at random, rising: what a choice must beat."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(count, _size(count, share), replace=False))


def _size(count: int, share: float) -> int:
    return max(round(share * count), 1)
