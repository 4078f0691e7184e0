"""A child starts where its parent stopped, learns only what came after, and leaves it untouched."""

import hashlib
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import SP500, seeing, small
from ml_collections import ConfigDict

from fusionjax.adapt.finetune import finetune
from fusionjax.config import Config, MeshConfig
from fusionjax.data.pipeline import Replay
from fusionjax.data.samples import TrainingData
from fusionjax.errors import InputError
from fusionjax.evaluate.inference import read_info, seed_folders
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.run import Trainer


def config(prepared: Path, **changes: object) -> Config:
    c = seeing(SP500)
    with c.unlocked():
        c.data.splits = ConfigDict(
            {
                "train": ("1999-01-01", "2014-12-31"),
                "stream": ("2014-06-01", "2016-12-31"),
                "dev": ("2017-01-01", "2018-12-31"),
            }
        )
        c.finetune.split = "stream"
    return small(
        c,
        prepared,
        model__layers=1,
        finetune__steps=3,
        finetune__warmup_steps=1,
        **{"finetune__promotion_sessions": 0, **changes},
    )


def digest(folder: Path) -> str:
    return hashlib.sha256(
        b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())
    ).hexdigest()


MESH = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])


@pytest.fixture(scope="module")
def parent(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parent")
    trainer = Trainer.from_config(config(prepared), MESH)
    for seed in (0, 1):
        trainer.train(seed, folder / f"seed_{seed}")
    return folder


def test_child_runs(parent: Path, prepared: Path, tmp_path: Path) -> None:
    before = digest(parent)
    frozen = config(prepared, finetune__frozen=("encoders_price/.*",))
    finetune(parent, frozen, MESH, tmp_path / "child", lambda step: False)
    assert digest(parent) == before, "the parent is only read"
    assert [p.name for p in seed_folders(tmp_path / "child")] == ["seed_0", "seed_1"]
    for seed in (0, 1):
        info = read_info(tmp_path / "child" / f"seed_{seed}")
        assert info.parent == f"{parent / f'seed_{seed}'}@6"
        assert info.trained_until == "2016-12-31"
        assert info.config.seed == seed
    assert read_info(parent).scaler == read_info(tmp_path / "child").scaler
    program = Trainer.from_config(frozen, MESH).program
    with Checkpoints(parent / "seed_0") as old, Checkpoints(tmp_path / "child/seed_0") as new:
        assert new.latest() == 3
        had, has = (c.restore(program.abstract_state) for c in (old, new))
    was, now = had.ema_params, has.params
    for x, y in zip(
        jax.tree.leaves(was["encoders_price"]), jax.tree.leaves(now["encoders_price"]), strict=True
    ):  # as asked
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
    assert_asked_again(parent / "seed_0", tmp_path / "child" / "seed_0", was, now)
    assert any(np.asarray(x).any() for x in jax.tree.leaves(was["fusion"]["weights"]))
    moved = (np.asarray(p["fusion"]["readout"]["kernel"]) for p in (was, now))
    assert (next(moved) != next(moved)).any()


def assert_asked_again(parent: Path, child: Path, was: dict, now: dict) -> None:
    """The VIX of 2014 came after the parent's inner rows: it waited, and now it is judged."""
    before, said = (json.loads((p / "fusion.json").read_text()) for p in (parent, child))
    names = before["modalities"]
    vix = names.index("vix")
    assert before["state"]["vix"] == "waiting"
    assert before["evidence"]["vix"]["samples"] == []
    assert was["fusion"]["kept"][vix] == was["fusion"]["presence"][vix] == 0
    assert said["before"] == before["state"]
    assert said["state"]["vix"] in ("kept", "dropped")
    assert 480 < len(said["evidence"]["vix"]["samples"]) < 520, "the sessions of two years"
    assert now["fusion"]["kept"].tolist() == said["kept"]
    phi = was["fusion"]["weights"], now["fusion"]["weights"]
    for name in ("modality", "rater"):
        old, new = (np.asarray(p[name]) for p in phi)
        stayed = (np.asarray(was["fusion"]["kept"]) > 0) & (np.asarray(now["fusion"]["kept"]) > 0)
        np.testing.assert_array_equal(old[stayed], new[stayed])
    told = [json.loads(x)["text"] for x in (child / "events.jsonl").read_text().splitlines()]
    assert any("modalities asked again with" in x and "vix" in x for x in told)


def test_only_rows_after_the_parents_last_label_are_new(
    parent: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def spy(
        training_data: TrainingData, windows: object, plan: object, replay: Replay, *_: object
    ) -> object:
        assert training_data.meta is None
        seen["new"], seen["old"] = training_data.all, replay.samples
        raise LookupError

    monkeypatch.setattr("fusionjax.train.start.BatchSource", spy)
    with pytest.raises(LookupError):
        finetune(parent, config(prepared), MESH, tmp_path / "x", lambda step: False)
    known_until, new = np.datetime64("2014-12-31"), seen["new"]
    assert seen["old"].target_day.max() <= known_until
    next_day = new.targets.mask["direction"][:, 0] | new.targets.mask["returns"][:, 0]
    assert new.target_day[next_day].min() > known_until
    # Of the last days that the parent knew, the labels of five sessions were not known yet.
    assert new.target_day[~next_day].tolist() == new.target_day[:4].tolist()
    assert new.targets.mask["volatility"][:4].all()


def test_nothing_new_and_no_parent_are_refused(
    parent: Path, prepared: Path, tmp_path: Path
) -> None:
    stale = config(prepared, finetune__split="train")
    with pytest.raises(InputError, match="ends on 2014-12-31, and .*give the new days: --config"):
        finetune(parent, stale, MESH, tmp_path / "x", lambda step: False)
    holiday = {"finetune__split": "2015-01-01:2015-01-01", "finetune__promotion_sessions": 0}
    holiday["data__accepted_findings"] = ("labels",)
    with pytest.raises(InputError, match="no session after 2014-12-31, the last one the parent"):
        finetune(parent, config(prepared, **holiday), MESH, tmp_path / "x", lambda step: False)
    with pytest.raises(InputError, match="no run here"):
        seed_folders(tmp_path)
    wider = config(prepared, model__width=32)
    with pytest.raises(InputError, match="another task than the run was trained for:\n  model"):
        finetune(parent, wider, MESH, tmp_path / "x", lambda step: False)
    assert not list(tmp_path.glob("x/*/checkpoints/[0-9]*"))
    assert (
        json.loads((parent / "seed_0" / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 6
    )
