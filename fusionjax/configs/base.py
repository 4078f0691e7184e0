"""What every other config starts from: each key at its default. docs/config.md lists the keys.

A config of your own states what it changes::

    from fusionjax.configs import base

    def get_config():
        c = base.get_config()
        c.name, c.data.source, c.data.root = "mine", "folder", "market"
        c.data.splits.train = ("2010-01-01", "2022-12-31")
        c.data.splits.dev = ("2023-01-01", "2024-12-31")
        c.modalities.price = base.modality("numeric", sessions=64, patch=8)
        c.modalities.news = base.modality("text", sessions=5)
        return c

Any key can be overridden on the command line too: ``--config.train.steps=100``.
"""

from ml_collections import ConfigDict

from fusionjax.config import defaults, head, modality

__all__ = ["get_config", "head", "modality"]


def get_config() -> ConfigDict:
    return defaults()
