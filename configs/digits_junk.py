"""150 labelled digits, six views, and six more that belong to other digits.

python launch/evaluate.py --config=configs/digits_junk.py --ladder --split=test
"""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
    c = digits.get_config()
    c.name = "digits_junk"
    c.ladder.variant = "junk"
    c.ladder.rungs = (digits.VIEWS, (*digits.VIEWS, *(f"junk_{i}" for i in range(6))))
    return c
