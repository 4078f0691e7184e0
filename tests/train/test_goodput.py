"""Where the time of a run goes, and what an operator can ask of it while it goes."""

import json
import time
from contextlib import closing
from pathlib import Path

import jax
import pytest
from conftest import SP500, seeing, small

from fusionjax.errors import InputError, Preempted
from fusionjax.parallel.mesh import make_mesh
from fusionjax.report import live
from fusionjax.train.goodput import BUCKETS, Goodput
from fusionjax.train.hooks.metrics import Reporter
from fusionjax.train.run import Trainer


def test_every_second_is_in_one_bucket(tmp_path: Path) -> None:
    begun = time.time() - 2.0
    goodput = Goodput(tmp_path, begun)
    with goodput.spent("step"):
        time.sleep(0.2)
    with goodput.spent("data"):
        time.sleep(0.1)
    said = goodput.look(3, 10)
    assert set(goodput.seconds) == set(BUCKETS)
    assert goodput.seconds["init"] == pytest.approx(2.0, abs=0.1)
    assert said["goodput"] == pytest.approx(0.2 / 2.3, abs=0.03)
    assert said["step_seconds_p50"] == pytest.approx(0.2, abs=0.05)
    assert said["host_bytes"] > 1e7


def test_a_restart_adds_to_what_was_spent_and_owns_up_to_what_was_lost(tmp_path: Path) -> None:
    first = Goodput(tmp_path)
    first.seconds["step"] = 10.0
    first.look(5, 10)
    second = Goodput(tmp_path, time.time() - 1.0)
    second.lose(4.0)
    assert second.seconds["step"] == 6.0
    assert second.seconds["lost"] == 4.0
    assert second.share == pytest.approx(6 / 11, abs=0.02)


def test_updates_that_were_logged_but_not_saved_are_counted(tmp_path: Path) -> None:
    rows = [{"step": s, "loss": 1.0, "steps_per_second": 2.0} for s in (10, 20, 30)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"step": 4')
    with closing(Reporter("x", 40, 10, tmp_path)) as reporter:
        assert reporter.lost == pytest.approx(20 / 2.0)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


def test_utilisation_is_told_where_the_devices_rate_is_known(tmp_path: Path) -> None:
    """Half a device's rate: FLOPs a step times steps a second over what it can do."""
    with closing(Reporter("x", 4, 0, tmp_path, flops=(5.0, 1e9))) as reporter:
        reporter.hold(4, {"loss": 1.0, "halted": 0.0})
    (row,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert row["mfu"] == pytest.approx(row["steps_per_second"] * 5.0 / 1e9)


def test_a_file_asks_for_a_trace(tmp_path: Path, prepared: Path) -> None:
    price = {"price": SP500["price"]}
    config = small(seeing(price), prepared, model__layers=1, model__fusion="equal", train__steps=12)
    folder = tmp_path / "seed_0"
    folder.mkdir()
    (folder / "profile").touch()
    Trainer.from_config(config, make_mesh(config.mesh, jax.devices()[:1])).train(0, folder)
    assert not (folder / "profile").exists()
    assert list((folder / "profile_0").rglob("*.xplane.pb"))
    table = live.look(tmp_path)
    assert table["state"].tolist() == ["done"]
    assert table["step"].tolist() == ["12 of 12"]


def test_where_runs_are_is_told_from_their_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no training here"):
        live.look(tmp_path)
    now = time.time()
    for name, step, ago in (("a", 40, 5.0), ("b", 100, 9e4), ("c", 60, 600.0)):
        folder = tmp_path / name / "seed_0"
        folder.mkdir(parents=True)
        told = {"step": step, "steps": 100, "at": now - ago, "goodput": 0.9}
        (folder / "goodput.json").write_text(json.dumps(told))
        rows = [{"step": s, "loss": 2.0, "steps_per_second": 0.5} for s in (step - 10, step)]
        cut = '\n{"step": 41, "lo'  # read while it is written
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + cut)
    table = live.look(tmp_path).set_index("training")
    assert table["state"].to_dict() == {
        "a/seed_0": "running",
        "b/seed_0": "done",
        "c/seed_0": "silent",
    }
    assert table.loc["a/seed_0", "left"] == "0:02:00", "60 steps at two seconds each"


def test_what_a_training_does_is_told_from_its_first_second(tmp_path: Path, prepared: Path) -> None:
    """Compiling is not silence, and neither is a training that was stopped or that failed."""
    price = {"price": SP500["price"]}
    config = small(seeing(price), prepared, model__layers=1, model__fusion="equal")
    trainer = Trainer.from_config(config, make_mesh(config.mesh, jax.devices()[:1]))
    seen = []

    def stop(step: int) -> bool:
        seen.append(live.look(tmp_path).set_index("training").loc["stopped", "state"])
        return step == 2

    def fail(step: int) -> bool:
        raise RuntimeError("the device is gone")

    with pytest.raises(Preempted):
        trainer.train(0, tmp_path / "stopped", stop)
    with pytest.raises(RuntimeError):
        trainer.train(0, tmp_path / "failed", fail)
    assert set(seen) == {"running"}
    states = live.look(tmp_path).set_index("training")["state"].to_dict()
    assert states == {"stopped": "stopped", "failed": "failed"}


@pytest.mark.parametrize(
    ("state", "ago", "shown"),
    [
        ("compiling", 900.0, "compiling"),
        ("compiling", 9e3, "silent"),
        ("stopped", 9e5, "stopped"),
        ("failed", 9e5, "failed"),
        ("running", 900.0, "silent"),
    ],
)
def test_silence_is_of_what_should_speak(
    tmp_path: Path, state: str, ago: float, shown: str
) -> None:
    told = {"step": 3, "steps": 9, "at": time.time() - ago, "goodput": 0.5, "state": state}
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "goodput.json").write_text(json.dumps(told))
    assert live.look(tmp_path)["state"].tolist() == [shown]
