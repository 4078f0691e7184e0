"""What every other config starts from: each key at its default. docs/config.md lists the keys.

Its settings are in fusionjax/configs/base.py, which is installed with the package.
"""

from fusionjax.configs.base import get_config

__all__ = ["get_config"]
