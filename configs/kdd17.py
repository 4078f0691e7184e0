"""KDD17 as a stream: 50 US stocks, trained on 2007-2012, updated and scored through 2013 and 2014.

    python launch/train.py --config=configs/kdd17.py
    fusionjax train --config=kdd17

Its settings are in fusionjax/configs/kdd17.py, which is installed with the package.
"""

from fusionjax.configs.kdd17 import get_config

__all__ = ["get_config"]
