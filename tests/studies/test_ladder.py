"""The ladder on a small planted market: same samples, paired intervals, sensible weights."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from rich.progress import Progress

from fusionjax.errors import InputError
from studies.configs import candle5
from studies.configs import planted as planted_config
from studies.data.planted import MODALITIES, REGIMES, plant
from studies.data.views import Views
from studies.fusion import ladder, ladder_table
from studies.fusion.vector_experiment import VectorExperiment
from studies.names import VIEW_EXPERTS
from studies.schema import StudyConfig


def config(**changes: object) -> StudyConfig:
    small = {"train.steps": 400, "distill.warmup_steps": 40}
    return StudyConfig.of(planted_config.get_config()).override(small | changes)


def markets(count: int = 2) -> list[Views]:
    return [plant(REGIMES["full"], s, train=2500, dev=60, test=300).views for s in range(count)]


def test_paired_difference_by_hand() -> None:
    ours, theirs = np.array([[1.0, 2.0], [4.0, 5.0]]), np.zeros((2, 2))
    by_seed = ladder_table.paired(ours, theirs, np.array([[0, 0], [1, 1]]))
    # Cluster sums of the deviations from 3: -3 and 3; √(18 · 2) / 4 = 1.5; t(1) = 12.706.
    np.testing.assert_allclose(
        [by_seed.mean, by_seed.low, by_seed.high],
        [3, 3 - 12.706 * 1.5, 3 + 12.706 * 1.5],
        rtol=1e-4,
    )
    same = ladder_table.paired(ours, ours, np.array([[0, 1], [0, 1]]))
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_calibration_error_by_hand() -> None:
    confidence, right = np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, True, True, False])
    # Bins at 0.95 (right 1.0) and 0.55 (right 0.5): gaps of 0.05, both half of the samples.
    np.testing.assert_allclose(ladder.calibration_error(confidence, right), 5.0)


def test_the_meta_set_is_later_than_every_label_it_is_kept_from() -> None:
    views = markets(1)
    study = VectorExperiment(
        ladder.with_vectors(config(**{"model.fusion": "distilled"}), views[0]), views
    )
    begin = views[0].time[study.meta].min()
    assert views[0].known[study.inner].max() <= begin
    assert set(study.inner) | set(study.meta) <= set(views[0].split["train"])
    assert views[0].time[study.meta].max() < views[0].time[views[0].split["dev"]].min()


@pytest.mark.nightly
def test_a_small_ladder_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = markets()
    c = config(
        **{
            "ladder.seeds": 2,
            "ladder.subsets": (MODALITIES[:2], MODALITIES),
            "ladder.oracle": (),
            "ladder.fusions": (
                ("distilled", {"model.fusion": "distilled"}),
                ("concat", {"model.fusion": "concat"}),
            ),
        }
    )
    with Progress() as progress:
        cells = list(ladder.climb(c, views, "test", progress))
    assert [(x.fusion, len(x.subset)) for x in cells] == [
        ("distilled", 2),
        ("distilled", 6),
        ("concat", 2),
        ("concat", 6),
        ("logistic regression", 2),
        ("mean of logistic regressions", 2),
        ("product of logistic regressions", 2),
        ("logistic regression", 6),
        ("mean of logistic regressions", 6),
        ("product of logistic regressions", 6),
    ]
    assert all(50 < x.summary["accuracy"][0] < 80 for x in cells)
    kept = cells[1].kept
    assert kept is not None
    assert kept[:, 0].all(), "numeric is informative"
    assert not kept[:, 5].any(), "the shortcut has faded"
    assert cells[0].kept is not None
    assert not cells[0].kept[:, 2:].any(), "what a subset does not show cannot be kept"
    made = ladder_table.report(c, cells, views, "test")
    path = ladder_table.save(made, c, views[0].names, tmp_path, "test", True)
    text = path.read_text()
    assert "| distilled |" in text
    assert "| concat |" in text
    assert "| logistic regression |" in text
    others = [x for x in cells if x.fusion != "distilled" and len(x.subset) == 2]
    best = min(others, key=lambda x: x.loss.mean())
    difference = cells[0].loss.mean() - best.loss.mean()
    assert f"by the number of modalities: 2: {best.fusion} {difference:+.2f} [" in text
    assert path == tmp_path / "planted_full" / "ladder_test.md"
    assert path.with_suffix(".json").exists()
    assert "<svg" in path.with_suffix(".svg").read_text()
    # Where the oracle's modalities gain nothing, there is no share of it.
    same = [dataclasses.replace(x, loss=cells[0].loss) for x in cells]
    oracle = c.override({"ladder.oracle": MODALITIES[:2]})
    told = ladder_table.report(oracle, same, views, "test")
    assert set(told.oracle_share.values()) == {None}
    assert "oracle" not in ladder_table.columns(told)[0][-1]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r'matplotlib .* pip install "fusionjax\[plots\]"$'):
        ladder_table.plot(made, tmp_path / "again.svg")


def test_the_floor_is_chosen_inside_training_and_scored_like_a_fusion() -> None:
    c = config(**{"ladder.fusions": (), "ladder.subsets": (MODALITIES[:2],), "ladder.oracle": ()})
    views = markets()
    with Progress() as progress:
        cells = list(ladder.climb(c, views, "test", progress))
        for v in views:  # what it is scored on cannot move it
            v.batch.targets.label["direction"][v.split["test"]] ^= 1
        turned = list(ladder.climb(c, views, "test", progress))
    assert [x.fusion for x in cells] == list(VIEW_EXPERTS[2:3] + VIEW_EXPERTS[:2])
    for cell, other in zip(cells, turned, strict=True):
        np.testing.assert_array_equal(cell.loss, 100 - other.loss)
        assert 60 < cell.summary["accuracy"][0] < 72


def test_unknown_names_are_refused() -> None:
    with Progress() as progress:
        with pytest.raises(InputError, match="ladder.variant .*is 'fulll'; expected full, weak"):
            ladder.load(config(**{"ladder.variant": "fulll"}), progress)
        wrong = config(**{"ladder.subsets": (("numeric", "smell"),), "ladder.seeds": 1})
        with pytest.raises(InputError, match="smell is no modality of planted; it has numeric"):
            next(ladder.climb(wrong, ladder.load(wrong, progress), "dev", progress))
        told = config(**{"ladder.oracle": ("numeric", "audio"), "ladder.seeds": 1})
        with pytest.raises(InputError, match="ladder.oracle numeric, audio is none of config.lad"):
            next(ladder.climb(told, ladder.load(told, progress), "dev", progress))


@pytest.mark.shared_data
@pytest.mark.nightly
def test_pictures_climb_a_ladder_of_one_subset() -> None:
    c = StudyConfig.of(candle5.get_config()).override(
        {
            "ladder.root": str(ROOT.parent / "shared" / "datasets" / "candle5"),
            "ladder.seeds": 1,
            "train.steps": 60,
            "train.ema_decay": 0.8,
            "model.width": 16,
            "model.heads": 2,
        }
    )
    with Progress() as progress:
        views = ladder.load(c, progress)
        ours, baseline = ladder.climb(c, views, "test", progress)
        with pytest.raises(InputError, match="candles has no split dev; it has train, test"):
            next(ladder.climb(c, views, "dev", progress))
    assert ours.summary["accuracy"][0] > 38, "more than the third that chance has"
    assert baseline.summary["accuracy"][0] > 60
