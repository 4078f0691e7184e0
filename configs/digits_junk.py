"""150 labelled digits, six views, and six more that belong to other digits.

python launch/evaluate.py --config=configs/digits_junk.py --ladder --split=test
"""

from ml_collections import ConfigDict

from configs import digits
from fusionjax.data.names import JUNK, VIEWS


def get_config() -> ConfigDict:
    c = digits.get_config()
    c.ladder.variant = "junk"
    c.ladder.rungs = (VIEWS, VIEWS + JUNK)
    return c
