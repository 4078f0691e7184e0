"""A planted market whose channels, days, documents and candles have a known worth: what
studies/explain.py asks explanations about. Nothing is tuned to it but the length of the training.

    python studies/explain.py --config=studies/configs/planted_parts.py
"""

from ml_collections import ConfigDict

from fusionjax.configs import base
from studies.names import PLANTED_PARTS


def get_config() -> ConfigDict:
    c = base.get_config()
    c.name = "planted_parts"
    for name, spec in PLANTED_PARTS.items():
        c.modalities[name] = base.modality(**spec)
    c.data.splits = {"train": ("2020-01-01", "2021-05-31"), "dev": ("2021-06-02", "2021-11-28")}
    c.evaluate.market_channel = "ret"
    c.targets.returns.weight = c.targets.volatility.weight = 0.0
    c.distill.experts, c.distill.refit_fraction = (), 0.3
    c.model.width, c.model.layers, c.model.heads, c.model.dropout = 32, 1, 2, 0.1
    c.train.steps, c.train.global_batch_size, c.train.warmup_steps = 600, 64, 20
    c.train.learning_rate, c.train.ema_decay, c.train.modality_dropout = 3e-3, 0.98, 0.0
    c.train.checkpoint_every = 600
    return c
