"""64 H100s: 8 nodes × 8 GPUs, data parallel across nodes, parameters split inside each.

    python launch/train.py --config=configs/h100_64.py
    fusionjax train --config=h100_64

Its settings are in fusionjax/configs/h100_64.py, which is installed with the package.
"""

from fusionjax.configs.h100_64 import get_config

__all__ = ["get_config"]
