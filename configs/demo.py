"""S&P 500, 1999-2018: three modalities, two targets, nothing to download.

    python launch/train.py --config=configs/demo.py
    fusionjax train --config=demo

Its settings are in fusionjax/configs/demo.py, which is installed with the package.
"""

from fusionjax.configs.demo import get_config

__all__ = ["get_config"]
