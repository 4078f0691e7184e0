"""150 labelled digits, six views, and six more that belong to other digits.

python studies/ladder.py --config=studies/configs/digits_junk.py --split=test
"""

from ml_collections import ConfigDict

from studies.configs import digits
from studies.names import JUNK, VIEWS


def get_config() -> ConfigDict:
    c = digits.get_config()
    c.ladder.variant = "junk"
    c.ladder.subsets = (VIEWS, VIEWS + JUNK)
    return c
