"""Five candles on a screenshot: which way do they go? Pictures alone, 148 to learn from.

    python studies/ladder.py --config=studies/configs/candle5.py --split=test

222 real pictures; five seeds, each with a random third held back: 92.7 ± 4.2 % right, a logistic
regression on 16 × 16 fields 88.9 ± 4.2 %. Settings were chosen on the splits of seeds from 100 on
(92.2 %). Ten minutes on one core. The folder: --config.ladder.root.
"""

from ml_collections import ConfigDict

from studies.configs import base
from studies.names import CANDLES


def get_config() -> ConfigDict:
    c = base.get_config()
    c.name = "candle5"
    c.data.image_size = (80, 80)
    c.modalities[CANDLES] = base.modality("image", sessions=1)
    c.ladder.data, c.ladder.variant, c.ladder.seeds = "candles", "test", 5
    c.ladder.root = "../shared/datasets/candle5"
    c.ladder.subsets = ((CANDLES,),)
    c.ladder.fusions = (("fusionjax", {"model.fusion": "equal"}),)
    c.targets.returns.weight = c.targets.volatility.weight = 0.0
    c.model.width, c.model.layers, c.model.dropout = 64, 2, 0.2
    c.train.steps, c.train.global_batch_size, c.train.modality_dropout = 1200, 128, 0.0
    c.train.learning_rate, c.train.ema_decay = 2e-3, 0.98
    return c
