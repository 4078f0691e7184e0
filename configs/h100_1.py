"""One H100: the modalities and lengths of h100_64 with a model a tenth of its size.

    python launch/train.py --config=configs/h100_1.py
    fusionjax train --config=h100_1

Its settings are in fusionjax/configs/h100_1.py, which is installed with the package.
"""

from fusionjax.configs.h100_1 import get_config

__all__ = ["get_config"]
