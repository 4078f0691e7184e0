"""The ladder in the planted market's other regimes, against the best baseline fusion of the full
one.

python studies/ladder.py --config=studies/configs/planted_regimes.py --split=test
… --config.ladder.variant=weak     (or any other of REGIMES in studies/data/planted.py)
"""

from ml_collections import ConfigDict

from studies.configs import planted
from studies.names import MODALITIES


def get_config() -> ConfigDict:
    c = planted.get_config()
    c.ladder.variant = "noisy_labels"
    kept = ("distilled", "concat", "softmax gate", "attention gate")
    c.ladder.fusions = tuple(row for row in c.ladder.fusions if row[0] in kept)
    c.ladder.subsets = tuple(MODALITIES[:n] for n in (2, 3, 6))
    return c
