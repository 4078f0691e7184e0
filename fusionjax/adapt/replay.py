"""Which of the old samples an update sees again: a buffer of so many rows, whatever came before."""

import numpy as np

from fusionjax.data.samples import Samples


def buffer(samples: Samples, rows: int, half_life: int, seed: int) -> Samples:
    """A weighted reservoir sample, in time order.

    As a reservoir keeps it that sees the samples one by one: a sample's chance to be kept is
    proportional to its weight (Efraimidis & Spirakis, 2006), which halves every ``half_life``
    sessions of age, or is the same for all. When the stream grows, a row that left does not return.

    Args:
      samples: all that may be replayed.
      rows: how many to keep.
      half_life: sessions; 0 weighs all alike.
      seed: of the draw.
    """
    if len(samples) <= rows:
        return samples
    _, day = np.unique(samples.target_day, return_inverse=True)
    in_time = np.lexsort((samples.row, samples.target_day))
    luck = np.empty(len(samples))
    luck[in_time] = np.random.default_rng([seed, 43]).exponential(size=len(samples))
    # The first of exponential arrivals stay, whose rates are the weights. Weights that grow with
    # the day keep the order of those that fall with age, and no number changes as days go by.
    growth = 0.0 if half_life == 0 else np.log(2) / half_life
    key = np.log(luck) - growth * day
    return samples.take(np.sort(np.argsort(key, kind="stable")[:rows]))
