"""What each part of the distilled fusion earns, on earnings calls with two placebos.

python studies/ladder.py --config=studies/configs/ablation_maec.py --split=dev
"""

from ml_collections import ConfigDict

from studies.configs import ablation, maec


def get_config() -> ConfigDict:
    c = maec.get_config()
    c.name = "ablation_maec"
    c.ladder.fusions = ablation.rows(c.ladder.subsets[-1])
    c.ladder.subsets = (c.ladder.subsets[0], c.ladder.subsets[-1])
    return c
