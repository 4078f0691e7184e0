"""Six views of handwritten digits: 1,280 training, 320 dev and 400 test samples.

python studies/ladder.py --config=studies/configs/digits.py --split=test
"""

from ml_collections import ConfigDict

from studies.configs import views


def get_config() -> ConfigDict:
    c = views.get_config()
    c.name = "digits"
    c.ladder.root = "../shared/datasets/multiview/handwritten.npz"
    return c
