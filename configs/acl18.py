"""ACL18 (StockNet): 88 US stocks, prices, tweets and the market around them.

    python launch/train.py --config=configs/acl18.py
    fusionjax train --config=acl18

Its settings are in fusionjax/configs/acl18.py, which is installed with the package.
"""

from fusionjax.configs.acl18 import get_config

__all__ = ["get_config"]
