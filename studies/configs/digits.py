"""The fusion alone on six views of handwritten digits, clean or spoilt.

    python studies/ladder.py --config=studies/configs/digits.py --split=test
    … --config.ladder.variant=noise     (or missing, conflict, few, wrong_labels)

1,280 training, 320 dev and 400 test samples (the published split; dev comes out of training), five
seeds; digits_junk.py adds views that say nothing. The rows are shuffled, so "later" means
nothing here and the meta set is a random 40 %.
"""

from ml_collections import ConfigDict

from studies.configs import planted
from studies.names import VIEWS


def get_config() -> ConfigDict:
    c = planted.get_config()
    c.name = "digits"
    c.ladder.data, c.ladder.variant, c.ladder.seeds = "digits", "clean", 5
    c.ladder.root = "../shared/datasets/multiview/handwritten.npz"
    c.ladder.subsets = (VIEWS[:3], VIEWS)
    c.ladder.oracle = ()
    return c
