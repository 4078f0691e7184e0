"""What trainings on markets of many modalities keep, beside what each is worth."""

import numpy as np
from jaxtyping import Bool, Float

from studies.configs import planted
from studies.data import many
from studies.fusion.ladder import with_vectors
from studies.fusion.vector_experiment import VectorExperiment
from studies.schema import StudyConfig


def kept_and_worth(
    market: many.Market, seeds: int, first: int
) -> tuple[Bool[np.ndarray, "seeds M"], Float[np.ndarray, "seeds M"]]:
    """Which modalities each training keeps, and their worth in nats, the mean over all markets.

    Args:
      market: how each is drawn.
      seeds: markets, each with a training by the settings of studies/configs/planted.py.
      first: seed; the others follow it.
    """
    drawn = [many.draw(market, first + i, test=2000) for i in range(seeds)]
    views = [d.views for d in drawn]
    config = with_vectors(StudyConfig.of(planted.get_config()), views[0])
    kept = VectorExperiment(config, views).fit(views[0].names).notes["kept"] > 0
    return kept, np.tile(np.mean([d.worth for d in drawn], 0), (seeds, 1))
