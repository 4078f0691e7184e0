"""A chosen share of the samples: who is chosen, and who may choose."""

from pathlib import Path

import numpy as np
import pytest
from conftest import SP500, seeing, small

from fusionjax.data import samples
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


def test_training_rows_are_thinned_before_and_in_the_meta_set(prepared: Path) -> None:
    c = small(seeing(SP500), prepared, train__coreset_fraction=0.5, train__coreset_by="random")
    trainer = coreset.trainer(c, make_mesh(c.mesh))
    training_data = trainer.training_data
    every = samples.split(trainer.market, c, "train")
    assert len(training_data.all) == round(0.5 * len(every))
    assert set(training_data.all.row) < set(every.row)
    if training_data.inner is not None and training_data.meta is not None:
        assert set(training_data.inner.row) | set(training_data.meta.row) <= set(
            training_data.all.row
        )
        assert training_data.inner.target_day.max() < training_data.meta.target_day.min()


def test_a_command_without_a_coreset_refuses_to_train_on_all_samples_silently(
    prepared: Path,
) -> None:
    c = small(seeing(SP500), prepared, train__coreset_fraction=0.5, train__coreset_by="random")
    with pytest.raises(InputError, match="coreset_fraction is 0.5: this command trains on all"):
        Trainer.from_config(c, make_mesh(c.mesh))


def test_a_share_that_leaves_nothing_is_refused(prepared: Path) -> None:
    c = small(seeing(SP500), prepared, train__coreset_fraction=1e-9, train__coreset_by="random")
    with pytest.raises(InputError, match="coreset_fraction leaves 1 samples, but none before"):
        coreset.trainer(c, make_mesh(c.mesh))


def test_a_folder_without_a_run_cannot_choose(prepared: Path, tmp_path: Path) -> None:
    by = str(tmp_path / "no_run")
    c = small(seeing(SP500), prepared, train__coreset_fraction=0.5, train__coreset_by=by)
    with pytest.raises(InputError, match="no run here"):
        coreset.rows(c, open_market(c.data))
