"""Training on a coreset: which rows ``train.coreset_fraction`` keeps."""

from pathlib import Path

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int64

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.distill.coreset import choose, draw
from fusionjax.errors import InputError
from fusionjax.evaluate.inference import Ensemble, read_info
from fusionjax.train.run import Trainer, audited_market

RANDOM = "random"


def trainer(config: Config, mesh: Mesh) -> Trainer:
    """A trainer of the samples that ``config.train.coreset_fraction`` leaves.

    Raises:
      InputError: anything wrong with data, config, mesh or the run that chooses.
    """
    market, audited = audited_market(config)
    return Trainer.on(market, audited, config, mesh, rows(config, market))


def rows(config: Config, market: Market) -> Int64[np.ndarray, "K"] | None:
    """Rows of the market that ``config.train.coreset_fraction`` keeps; None if it keeps all.

    ``config.train.coreset_by`` names the run whose models choose, by their first classifier.

    Raises:
      InputError: there is no such run, or it was trained on labels after the training split.
    """
    t = config.train
    if t.coreset_fraction == 1:
        return None
    pool = samples.split(market, config, t.split)
    if t.coreset_by == RANDOM:
        return pool.row[draw(len(pool), t.coreset_fraction, config.seed)]
    run = Path(t.coreset_by)
    info = read_info(run)
    last = config.data.splits[t.split][1]
    if info.trained_until > last:
        raise InputError(
            f"config.train.coreset_by: {run} knew labels until {info.trained_until}, after the "
            f"training split's end {last}; choose by a run that was trained on no more than that"
        )
    name, _ = config.classifier
    up = Ensemble(run, info.config, market).predict(pool.row).value[name][:, 0]
    up = np.where(pool.targets.mask[name][:, 0], up, np.nan)
    label = pool.targets.label[name][:, 0].astype(np.int64)
    return pool.row[choose(np.stack([1 - up, up], 1), label, t.coreset_fraction, config.seed)]
