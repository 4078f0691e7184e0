"""The modality ladder on earnings calls: prices, + text, + audio, + shuffled copies as junk.

    python studies/ladder.py --config=studies/configs/maec.py --split=test

MAEC-15: 535 training, 76 dev and 154 test calls; log volatility 3, 7, 15 and 30 sessions after the
call. Raw data: --config.ladder.root. The first run embeds 72,437 sentences (some 9 minutes,
cached). Only fusions that can regress take part: the others weigh by the confidence of a class.
"""

from ml_collections import ConfigDict

from studies.configs import base
from studies.names import VOLATILITY_EXPERTS


def get_config() -> ConfigDict:
    c = base.get_config()
    c.name = "maec"
    c.modalities.price = base.modality("vector", features=13)  # the rest: from data
    c.ladder.data, c.ladder.variant, c.ladder.seeds = "maec", "maec15", 5
    c.ladder.root = "../shared/datasets/maec"
    c.ladder.subsets = (
        ("price",),
        ("price", "text"),
        ("price", "text", "audio"),
        ("price", "text", "audio", "junk_0", "junk_1"),
    )
    c.ladder.fusions = (
        ("distilled", {"model.fusion": "distilled", "distill.experts": VOLATILITY_EXPERTS}),
        ("concat", {"model.fusion": "concat"}),
        ("equal weight", {"model.fusion": "equal"}),
        ("late", {"model.fusion": "late"}),
        ("softmax gate", {"model.fusion": "softmax_gate"}),
        ("attention gate", {"model.fusion": "attention_gate"}),
        ("MMPareto", {"model.fusion": "mmpareto"}),
        ("modality dropout", {"model.fusion": "concat", "train.modality_dropout": 0.3}),
    )
    c.targets.direction.weight = c.targets.returns.weight = 0.0
    c.model.width, c.model.dropout = 32, 0.3
    c.train.steps, c.train.global_batch_size = 100, 64  # of 100, 200, 400 best on dev for all
    c.distill.warmup_steps, c.distill.initial_update_steps = 10, 20
    c.train.learning_rate, c.train.modality_dropout, c.train.ema_decay = 2e-3, 0.0, 0.98
    return c
