"""A planted market through real files: five modalities from prices, posts, PNG, WAV and MP4.

    python launch/train.py --config=configs/planted_folder.py
    fusionjax train --config=planted_folder

Its settings are in fusionjax/configs/planted_folder.py, which is installed with the package.
"""

from fusionjax.configs.planted_folder import get_config

__all__ = ["get_config"]
