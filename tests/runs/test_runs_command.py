"""Runs are listed, shown, compared and removed, and none that something needs is removed."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from commands import launch
from conftest import price_trainer

from fusionjax import files
from fusionjax.adapt.serving import Serving
from fusionjax.errors import InputError
from fusionjax.evaluate.scoring import ForecasterScores, TargetTable
from fusionjax.evaluate.table import Scores
from fusionjax.runs import removal, stored, tables
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.run import Trainer


@pytest.fixture(scope="module")
def trainer(prepared: Path) -> Trainer:
    return price_trainer(prepared)


@pytest.fixture(scope="module")
def made(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: ``a`` of two seeds with scores, and ``b``, fine-tuned from it, to be finished."""
    root = tmp_path_factory.mktemp("made") / "runs"
    for seed in (0, 1):
        state = trainer.train(seed, root / "a" / f"seed_{seed}")
    row = ForecasterScores("a", {"accuracy": 0.51, "MCC": 0.02}, {}, False, "")
    table = TargetTable("direction", 1, 9, 9, ("MCC",), "log loss", [row], {}, [])
    scores = dataclasses.asdict(Scores("scores_dev", [], [table]))
    (root / "a/scores_dev.json").write_text(json.dumps(scores))
    config = trainer.config.override({"train.learning_rate": 0.5, "name": "other"})
    info = dataclasses.replace(trainer.info, config=config, parent=f"{root}/a/seed_0@6")
    with Checkpoints(root / "b" / "seed_0", create=True) as checkpoints:
        checkpoints.save(6, state, info)
    goodput = {"step": 3, "steps": 9, "state": "stopped"}
    (root / "b/seed_0/goodput.json").write_text(json.dumps(goodput))
    (root / "ledger" / "seed_0" / "checkpoints").mkdir(parents=True)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy; ``b`` says that it was fine-tuned from the first ``a``."""
    shutil.copytree(made, tmp_path / "runs")
    return tmp_path / "runs"


def chosen(root: Path, *names: str) -> tuple[list[stored.StoredRun], list[stored.StoredRun]]:
    runs = stored.find(root)
    return stored.named(names, root, runs), runs


def test_they_are_found_and_listed(root: Path) -> None:
    table = tables.listed(stored.find(root))
    assert list(table.index) == [f"{root}/a", f"{root}/b"]
    a, b = table.to_dict("records")
    assert (a["config"], a["seeds"], a["steps"], a["state"]) == ("base", 2, "6 of 6", "done")
    assert a["score"] == "dev accuracy 0.510"
    assert (b["config"], b["steps"], b["state"], b["score"]) == ("other", "3 of 9", "stopped", "")
    assert a["size"].endswith(" MB")
    with files.locked(root / "b/seed_0"):
        assert stored.find(root)[1].state == "training"
    assert stored.find(root)[1].state != "training"
    (root / "a/seed_1/goodput.json").write_text("{")
    assert stored.find(root)[0].state == "stopped", "what cannot be read is not done"
    shutil.rmtree(root / "b/seed_0/checkpoints")
    assert tables.listed(stored.find(root)).loc[f"{root}/b", "config"] == "–"


def test_links_are_not_followed(root: Path, tmp_path: Path) -> None:
    before = stored.find(root)[0].size
    (tmp_path / "elsewhere" / "seed_0" / "checkpoints").mkdir(parents=True)
    (tmp_path / "elsewhere" / "seed_0" / "large").write_bytes(bytes(10**6))
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "inside").symlink_to(tmp_path / "elsewhere")
    (root / "same").symlink_to(root / "a")
    assert [r.folder.name for r in stored.find(root)] == ["a", "b"]
    assert stored.find(root)[0].size < before + 1000
    for name, wanted in (("link", "link: no run under"), ("same", "same: is a link; give the run")):
        with pytest.raises(InputError, match=wanted):
            chosen(root, name)
    both, _ = chosen(root, "a")
    removal.remove(both)
    assert (tmp_path / "elsewhere" / "seed_0" / "large").exists()
    assert [r.folder.name for r in stored.find(root)] == ["b"]


def test_one_is_described_and_two_are_compared(root: Path, made: Path) -> None:
    (a, b), _ = chosen(root, "a", f"{root}/b")
    text = "\n".join(tables.described(b, [], ["runs/b_serving"]))
    assert f"parent: {made}/a/seed_0" in text
    assert "services: runs/b_serving" in text
    assert "train.learning_rate: was 0.001, now 0.5" in text
    assert f"data: {a.info.fingerprint if a.info else ''}, learned from 1999-01-01" in text
    assert "loss" in set(tables.metrics(a)["metric"])
    assert tables.metrics(b).empty
    lines = tables.compared([a, b])
    assert lines[0] == f"from {root}/a to {root}/b:"
    assert "  train.learning_rate: was 0.001, now 0.5" in lines
    beside = tables.scores([a, b])
    assert beside.loc["dev: direction: MCC", f"{root}/a"] == 0.02
    assert beside[f"{root}/b"].isna().all()
    assert tables.compared([a, a])[1:] == ["  trained with the same config"]
    with pytest.raises(InputError, match="expected two runs or more"):
        tables.compared([a])


def test_what_is_needed_is_not_removed(made: Path, root: Path) -> None:
    (a, b), runs = chosen(made, "a", "b")
    with pytest.raises(InputError, match=r"a: \S*b was fine-tuned from it; name both to remove"):
        removal.require_unneeded([a], runs, made)
    removal.require_unneeded([a, b], runs, made)
    removal.require_unneeded([b], runs, made)
    with pytest.raises(InputError, match="is not inside"):
        removal.require_unneeded([b], runs, made / "a")
    with files.locked(made / "b/seed_0"), pytest.raises(InputError, match="is being trained"):
        removal.require_unneeded([b], runs, made)
    (b,), runs = chosen(root, "b")
    service = root / "x_serving"
    for now in (Serving(f"{root}/b", "", ""), Serving("elsewhere", "2020-01-02", f"{root}/b")):
        now.write(service)
        with pytest.raises(InputError, match=r"b: serves \S*x_serving, or would after a rollback"):
            removal.require_unneeded([b], runs, root)
    assert (root / "b").exists()


def test_the_command(root: Path) -> None:
    folder = root.parent
    said = launch(folder, "runs", None, "list")
    assert "runs/a" in said
    assert "6 of 6" in said
    said = launch(folder, "runs", None, "show", "runs/a")
    assert "runs/a: done, 6 of 6 steps" in said
    assert "0 record(s) in runs/ledger" in said
    assert "train.learning_rate: was" in launch(folder, "runs", None, "compare", "a", "runs/b")
    said = launch(folder, "runs", None, "remove", "runs/b")
    assert "runs/b: 1 seed(s), " in said
    assert "may go, unless a service outside runs forecasts with it; --yes removes it" in said
    assert (root / "b").exists()
    assert "removed; the ledger keeps" in launch(folder, "runs", None, "remove", "b", "--yes")
    assert [r.folder.name for r in stored.find(root)] == ["a"]
    for words, message in (
        ([], "expected list, show, compare or remove"),
        (["forget"], "expected list, show, compare or remove"),
        (["remove"], "fusionjax runs remove: expected run folders"),
        (["list", "a"], "fusionjax runs list: expected no further word"),
        (["show", "aa"], "aa: no run under runs; did you mean 'a'?"),
        (["list", "--runs=none"], "none: no run here; give the folder of the run folders"),
    ):
        said = launch(folder, "runs", None, *words, status=2)
        assert message in " ".join(said.split()), said
