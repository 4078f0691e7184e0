"""The replay buffer: the old samples that an update sees again."""

import numpy as np

from fusionjax import streams
from fusionjax.data.samples import Samples


def buffer(samples: Samples, rows: int, half_life: int, seed: int) -> Samples:
    """A weighted reservoir sample, in time order.

    The same as if samples arrived one by one. Weights (Efraimidis & Spirakis, 2006) are equal or
    halve with every ``half_life`` sessions of age. A row that has left the buffer does not return
    when more samples arrive.

    Args:
      samples: all that may be replayed.
      rows: size of the buffer.
      half_life: sessions; 0 for equal weights.
      seed: of the draw.
    """
    if len(samples) <= rows:
        return samples
    _, day = np.unique(samples.target_day, return_inverse=True)
    time_order = np.lexsort((samples.row, samples.target_day))
    arrival = np.empty(len(samples))
    arrival[time_order] = streams.generator(seed, "replay buffer").exponential(size=len(samples))
    # The earliest exponential arrivals stay, with the weights as rates. Weights that grow with the
    # day give the same order as weights that fall with age, but no number changes as days go by.
    growth = 0.0 if half_life == 0 else np.log(2) / half_life
    key = np.log(arrival) - growth * day
    return samples.take(np.sort(np.argsort(key, kind="stable")[:rows]))
