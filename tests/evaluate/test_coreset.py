"""A chosen share of the samples: who is chosen, who may choose, and that it beats chance."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import SP500, seeing, small

from configs import planted as planted_config
from fusionjax.config import resolve
from fusionjax.data import samples
from fusionjax.data.planted import MODALITIES, REGIMES, plant
from fusionjax.distill.coreset import choose
from fusionjax.errors import InputError
from fusionjax.evaluate import coreset
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.run import Trainer, open_market


def test_only_what_the_judge_would_have_said_is_drawn_and_the_sure_more_often() -> None:
    p = np.array([0.9, 0.6, 0.2, np.nan] * 1000)
    belief, label = np.stack([1 - p, p], 1), np.ones(4000, int)
    kept = choose(belief, label, 0.25, 0)
    assert len(kept) == 1000
    assert (np.diff(kept) > 0).all()
    count = np.bincount(kept % 4, minlength=4)
    assert count[2] == count[3] == 0
    # Of two thousand with weights .4 and .1 a thousand are drawn: .72 and .28 of each kind.
    assert 2 < count[0] / count[1] < 3.3


def test_where_too_few_agree_the_others_fill_up() -> None:
    belief = np.array([[0.1, 0.9], [0.9, 0.1], [0.9, 0.1], [np.nan, np.nan]])
    kept = choose(belief, np.ones(4, int), 0.75, 0)
    assert len(kept) == 3
    assert 0 in kept
    assert len(choose(belief, np.ones(4, int), 1.0, 0)) == 4


def test_one_seed_one_choice() -> None:
    rng = np.random.default_rng(0)
    belief, label = rng.dirichlet(np.ones(3), 500), rng.integers(0, 3, 500)
    same = choose(belief, label, 0.3, 1)
    np.testing.assert_array_equal(same, choose(belief, label, 0.3, 1))
    assert set(same) != set(choose(belief, label, 0.3, 2))


@pytest.mark.nightly
def test_chosen_beats_random_on_a_planted_market() -> None:
    changes = {"train.steps": 400, "ladder.seeds": 2, "ladder.rungs": (MODALITIES[:3],)}
    c = resolve(planted_config.get_config()).override(changes)
    views = [plant(REGIMES["full"], s, train=2000, dev=60, test=1500).views for s in (300, 301)]
    made = coreset.compare(c, views, "test", 0.3)
    assert list(made.cells) == ["all", "30% chosen", "30% random"]
    assert made.skill["all"] == 1
    assert made.skill["30% chosen"] > made.skill["30% random"]
    assert made.gain.mean < 0
    assert coreset.for_screen(made).row_count == 3


def test_training_rows_are_thinned_before_and_in_the_anchor(prepared: Path) -> None:
    c = small(seeing(SP500), prepared, train__coreset_share=0.5, train__coreset_by="random")
    trainer = Trainer.from_config(c, make_mesh(c.mesh), coreset.rows)
    lesson = trainer.lesson
    every = samples.split(trainer.market, c, "train")
    assert len(lesson.whole) == round(0.5 * len(every))
    assert set(lesson.whole.row) < set(every.row)
    if lesson.base is not None and lesson.anchor is not None:
        assert set(lesson.base.row) | set(lesson.anchor.row) <= set(lesson.whole.row)
        assert lesson.base.target_day.max() < lesson.anchor.target_day.min()


def test_a_share_that_leaves_nothing_is_refused(prepared: Path) -> None:
    c = small(seeing(SP500), prepared, train__coreset_share=1e-9, train__coreset_by="random")
    with pytest.raises(InputError, match="train.coreset_share leaves 1 samples, none of them"):
        Trainer.from_config(c, make_mesh(c.mesh), coreset.rows)


def test_a_folder_without_a_run_cannot_choose(prepared: Path, tmp_path: Path) -> None:
    by = str(tmp_path / "no_run")
    c = small(seeing(SP500), prepared, train__coreset_share=0.5, train__coreset_by=by)
    with pytest.raises(InputError, match="no run here"):
        coreset.rows(c, open_market(c))


def test_a_share_must_be_one_and_labels_classes() -> None:
    c = resolve(planted_config.get_config())
    views = [plant(REGIMES["full"], 300, train=200, dev=60, test=100).views]
    for share in (0.0, 1.0, 2.0):
        with pytest.raises(InputError, match=f"--coreset={share}: expected a share between 0 and"):
            coreset.compare(c, views, "dev", share)
    none = dataclasses.replace(
        views[0].batch.targets, direction_mask=np.zeros_like(views[0].batch.targets.direction_mask)
    )
    blind = dataclasses.replace(views[0], batch=dataclasses.replace(views[0].batch, targets=none))
    with pytest.raises(InputError, match="a coreset is chosen by classes"):
        coreset.compare(c, [blind], "dev", 0.3)
