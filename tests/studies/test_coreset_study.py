"""A chosen share of a study's samples beats as many at random."""

import dataclasses

import numpy as np
import pytest

from fusionjax.errors import InputError
from studies.configs import planted as planted_config
from studies.data.planted import MODALITIES, REGIMES, plant
from studies.fusion import coreset
from studies.schema import StudyConfig


@pytest.mark.nightly
def test_chosen_beats_random_on_a_planted_market() -> None:
    changes = {"train.steps": 400, "ladder.seeds": 2, "ladder.subsets": (MODALITIES[:3],)}
    c = StudyConfig.of(planted_config.get_config()).override(changes)
    views = [plant(REGIMES["full"], s, train=2000, dev=60, test=1500).views for s in (300, 301)]
    made = coreset.compare(c, views, "test", 0.3)
    assert list(made.cells) == ["all", "30% chosen", "30% random"]
    assert made.skill["all"] == 1
    assert made.skill["30% chosen"] > made.skill["30% random"]
    assert made.gain.mean < 0
    assert coreset.for_screen(made).row_count == 3


def test_a_share_must_be_one_and_labels_classes() -> None:
    c = StudyConfig.of(planted_config.get_config())
    views = [plant(REGIMES["full"], 300, train=200, dev=60, test=100).views]
    for share in (0.0, 1.0, 2.0):
        with pytest.raises(InputError, match=f"--share={share}: expected a share between 0 and"):
            coreset.compare(c, views, "dev", share)
    none = dataclasses.replace(
        views[0].batch.targets,
        mask={k: np.zeros_like(v) for k, v in views[0].batch.targets.mask.items()},
    )
    blind = dataclasses.replace(views[0], batch=dataclasses.replace(views[0].batch, targets=none))
    with pytest.raises(InputError, match="a coreset is chosen by classes"):
        coreset.compare(c, [blind], "dev", 0.3)
