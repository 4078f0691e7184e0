"""128 nodes of 8 H100s: h100_64 with sixteen times its rows and a higher learning rate.

    python launch/train.py --config=configs/h100_1024.py
    fusionjax train --config=h100_1024

Its settings are in fusionjax/configs/h100_1024.py, which is installed with the package.
"""

from fusionjax.configs.h100_1024 import get_config

__all__ = ["get_config"]
