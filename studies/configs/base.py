"""What the configs of studies start from: those of the product, and a section ``ladder``."""

from ml_collections import ConfigDict

from fusionjax.config import defaults
from fusionjax.configs.base import modality
from studies.schema import StudyConfig

__all__ = ["get_config", "modality"]


def get_config() -> ConfigDict:
    c = defaults(StudyConfig)
    # Vectors have no bars for experts to read; the ladder compares fusions by themselves.
    c.distill.experts = ()
    c.distill.refit_fraction = 0.7  # chosen for a training without them (docs/fusion.md)
    return c
