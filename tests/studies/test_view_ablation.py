"""Ablation of a study: what is shown in place of a view, and what beats its placebos."""

import numpy as np
import pytest
from rich.progress import Progress

from fusionjax.errors import InputError
from studies.configs import planted as planted_config
from studies.data import planted
from studies.data.views import Views
from studies.fusion import view_ablation
from studies.schema import StudyConfig


def config() -> StudyConfig:
    c = StudyConfig.of(planted_config.get_config())
    return c.override(
        {
            "ladder.subsets": (("numeric",), ("numeric", "video")),
            "ladder.fusions": (("equal", {"model.fusion": "equal"}),),
            "ladder.seeds": 4,
            "model.width": 16,
            "train.steps": 100,
            "train.warmup_steps": 5,
        }
    )


@pytest.fixture(scope="module")
def views() -> list[Views]:
    return [planted.plant(planted.regime("full"), s).views for s in range(4)]


def test_content_moves_with_its_presence_and_nothing_else_moves(views: list[Views]) -> None:
    v = views[0]
    rows = v.split["dev"]
    made = view_ablation.contents(v, rows)
    assert set(made["constant"][rows]) == {rows[0]}
    for what in ("shuffled within the day", "from another sample"):
        np.testing.assert_array_equal(np.sort(made[what][rows]), np.sort(rows))
    source = made["from another sample"]
    other = view_ablation.replaced(v, "text", source)
    x, there = v.batch.inputs["text"].x, v.batch.present["text"]
    np.testing.assert_array_equal(other.batch.inputs["text"].x, x[source])
    np.testing.assert_array_equal(other.batch.present["text"], there[source])
    np.testing.assert_array_equal(other.batch.inputs["numeric"].x, v.batch.inputs["numeric"].x)
    assert other.batch.targets is v.batch.targets


def test_placebos_stay_in_their_split(views: list[Views]) -> None:
    v = views[0]
    made = view_ablation.placebo(v, "text", 0)
    for rows in v.split.values():
        got = np.sort(made.batch.inputs["text"].x[rows], axis=0)
        np.testing.assert_array_equal(got, np.sort(v.batch.inputs["text"].x[rows], axis=0))
    assert (view_ablation.placebo(v, "text", 1).batch.inputs["text"].x
            != made.batch.inputs["text"].x).any()  # fmt: skip


@pytest.mark.nightly
def test_signal_beats_its_placebos_and_noise_does_not(views: list[Views]) -> None:
    content, worth = view_ablation.ablate(config(), views, "dev", 4, Progress(disable=True))
    assert worth.loc["numeric", "verdict"] == "used"
    assert worth.loc["video", "verdict"] == "not used", "video is planted noise"
    assert worth.loc["numeric", "placebos as good"] == "0 %"
    assert len(content) == 2 * 5
    with pytest.raises(InputError, match="--placebos=1: give at least 2"):
        view_ablation.ablate(config(), views, "dev", 1, Progress(disable=True))
