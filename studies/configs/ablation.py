"""What each part of the distilled fusion earns, on a planted market with 3 and 6 modalities.

    python studies/ladder.py --config=studies/configs/ablation.py --split=test
    … --config.ladder.variant=noisy_labels    (or weak, drift)

Each row is the method without one part, or with one that is off. ablation_maec.py
asks the same of earnings calls.
"""

from typing import Any

from ml_collections import ConfigDict

from studies.configs import planted
from studies.names import MODALITIES


def rows(modalities: tuple[str, ...]) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Row name and overrides, of a study with these modalities."""
    keep_all = {"distill.keep": modalities}
    changes: tuple[tuple[str, dict[str, Any]], ...] = (
        ("ours", {}),
        ("no meta set: nothing weighted or dropped", {"distill.learned": (), **keep_all}),
        ("no elimination", keep_all),
        ("no feature weights", {"distill.learned": ("modality", "rater", "joint")}),
        ("no quality head", {"distill.learned": ("modality", "feature", "joint")}),
        ("no modality weights, no quality head", {"distill.learned": ("feature", "joint")}),
        ("no weight of the joint path", {"distill.learned": ("modality", "rater", "feature")}),
        ("no soft labels (no teacher)", {"distill.soft_labels": 0.0}),
        ("no refit", {"distill.refit_fraction": 0.01}),
    )
    return tuple((name, {"model.fusion": "distilled", **x}) for name, x in changes)


def get_config() -> ConfigDict:
    c = planted.get_config()
    c.name = "ablation"
    c.ladder.fusions = rows(MODALITIES)
    c.ladder.subsets = (MODALITIES[:3], MODALITIES)
    c.ladder.oracle = ()
    return c
