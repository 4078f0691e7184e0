"""One node of 8 H100s: h100_64 with an eighth of its rows.

    python launch/train.py --config=configs/h100_8.py
    fusionjax train --config=h100_8

Its settings are in fusionjax/configs/h100_8.py, which is installed with the package.
"""

from fusionjax.configs.h100_8 import get_config

__all__ = ["get_config"]
