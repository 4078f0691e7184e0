"""The settings of a study: a run's, and which fusions are compared on which modalities."""

import dataclasses
from typing import Any, Literal

from fusionjax.config import Config
from fusionjax.config.key import key


@dataclasses.dataclass(frozen=True)
class LadderConfig:
    """A study of the fusion alone, on vectors: `studies/ladder.py`."""

    data: Literal["planted", "maec", "candles", "views"] = key(
        "planted", "a file of studies/data; views: of a file of your own"
    )
    variant: str = key("full", "planted: regime; maec: year; views: corruption")
    root: str = key("", "folder of the raw data, or the file of views")
    subsets: tuple[tuple[str, ...], ...] = key(
        (), "modalities of each; empty: all but junk, then all"
    )
    oracle: tuple[str, ...] = key((), "the informative ones, where that is known")
    lengths: tuple[int, ...] = key(
        (), "steps of which the meta set chooses, for fusions that have one; empty: train.steps"
    )
    seeds: int = key(10, "markets, or trainings, of each cell")
    first_seed: int = key(0, "the others follow it")
    fusions: tuple[tuple[str, dict[str, Any]], ...] = key(
        (), "(row name, dotted overrides), the first being ours"
    )


@dataclasses.dataclass(frozen=True)
class StudyConfig(Config):
    """A run's settings with those of a study."""

    ladder: LadderConfig = LadderConfig()
