"""What the configs of studies start from: those of the product, and a section ``ladder``."""

from ml_collections import ConfigDict

from configs.base import modality
from fusionjax.config import defaults
from studies.schema import StudyConfig

__all__ = ["get_config", "modality"]


def get_config() -> ConfigDict:
    return defaults(StudyConfig)
