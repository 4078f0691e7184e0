"""Disks that lie, fill up or may not be written: no good checkpoint is lost, and it is said."""

import json
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import ROOT, price_trainer

from fusionjax.errors import InputError
from fusionjax.evaluate.inference import Ensemble
from fusionjax.train import events
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.run import Trainer
from fusionjax.train.state import TrainState

# Orbax's readers of a file that breaks off leave callbacks behind that find their loop closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def one(prepared: Path) -> Trainer:
    return price_trainer(prepared)


@pytest.fixture(scope="module")
def whole(one: Trainer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainState]:
    """A run with checkpoints of steps 3 and 6."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, one.train(0, folder)


def copied(whole: tuple[Path, TrainState], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole[0], tmp_path / "run"))


def same(a: TrainState, b: TrainState) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 16
    path.write_bytes(bytes(raw))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def every(folder: Path, pattern: str) -> list[Path]:
    """Of several data files some hold nothing that is read any more."""
    found = list(folder.glob(pattern))
    assert found
    return found


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink], ids=["flipped", "cut", "gone"])
@pytest.mark.parametrize(
    "file", ["state/ocdbt.process_0/d/*", "info/metadata", "state/_METADATA", "state/d/*"]
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    one: Trainer, whole: tuple[Path, TrainState], tmp_path: Path, file: str, harm: object
) -> None:
    run = copied(whole, tmp_path)
    for path in every(run / "checkpoints/6", file):
        harm(path)  # type: ignore[operator]
    state = one.train(0, run)
    same(state, whole[1])
    told = {e["code"]: e for e in events.read(run)}
    assert told["C2"]["step"] == 6
    assert told["C3"]["step"] == 3
    assert [p.name.split("_")[0] for p in (run / "damaged").iterdir()] == ["6"], "as evidence"
    with Checkpoints(run) as checkpoints:
        assert checkpoints.latest() == 6, "written anew"


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink], ids=["flipped", "cut", "gone"])
@pytest.mark.parametrize("file", ["copies/ocdbt.process_0/d/*", "copies/d/*", "copies/_METADATA"])
def test_a_damaged_copy_of_the_best_state_costs_the_way_back_alone(
    one: Trainer, whole: tuple[Path, TrainState], tmp_path: Path, file: str, harm: object
) -> None:
    _, state = whole
    with Checkpoints(tmp_path / "run", create=True) as checkpoints:
        checkpoints.save(6, state, one.info, {"looks": []}, {"best": state})
    for path in every(tmp_path / "run/checkpoints/6", file):
        harm(path)  # type: ignore[operator]
    with Checkpoints(tmp_path / "run", create=True) as checkpoints:
        same(checkpoints.restore(one.program.abstract_state), state)
        assert checkpoints.copies(6, one.program.abstract_state) == {}
        assert checkpoints.latest() == 6
    (row,) = events.read(tmp_path / "run")
    assert row["code"] == "C2"
    assert "the best state kept with step 6 is damaged" in row["text"]


def test_a_spoilt_log_stops_no_training(
    one: Trainer, whole: tuple[Path, TrainState], tmp_path: Path
) -> None:
    run = copied(whole, tmp_path)
    shutil.rmtree(run / "checkpoints/6")
    (run / "goodput.json").write_text('{"seconds": {"ste')
    with (run / "metrics.jsonl").open("ab") as f:
        f.write(b'5\n\xff\xfe\n{"step": 9')
    with (run / "events.jsonl").open("ab") as f:
        f.write(b'"x"\n{"code": "T1')
    same(one.train(0, run), whole[1])
    assert events.read(run)[-1]["code"] == "T1", "on a line of its own"
    assert json.loads((run / "goodput.json").read_text())["step"] == 6


def test_a_single_flipped_bit_is_named_by_its_array(
    one: Trainer, whole: tuple[Path, TrainState], tmp_path: Path
) -> None:
    """Orbax itself does not notice: the compressed chunk still unpacks."""
    run, silent = copied(whole, tmp_path), 0
    for data in every(run / "checkpoints/6", "state/ocdbt.process_0/d/*"):
        intact = data.read_bytes()
        for place in np.linspace(0, len(intact) - 1, 6 if len(intact) > 10_000 else 1).astype(int):
            raw = bytearray(intact)
            raw[place] ^= 1
            data.write_bytes(bytes(raw))
            with Checkpoints(run) as checkpoints:
                state = checkpoints.restore(one.program.abstract_state)
                if int(state.step) == 6:
                    same(state, whole[1])  # a byte that nothing is read from
                else:
                    assert int(state.step) == 3
                    silent += "not what was written" in checkpoints._damaged[6]
        data.write_bytes(intact)
    assert silent, "some flips only the sums can see"


def test_readers_fall_back_too_and_move_nothing(
    one: Trainer, whole: tuple[Path, TrainState], tmp_path: Path
) -> None:
    run = copied(whole, tmp_path)
    for path in every(run / "checkpoints/6", "state/ocdbt.process_0/d/*"):
        path.write_bytes(b"")
    with Checkpoints(run) as checkpoints:
        checkpoints.averaged(one.program.abstract_state.ema_params)
        assert checkpoints.latest() == 3
    assert not (run / "damaged").exists()
    assert (run / "checkpoints/6").exists()


def test_where_none_is_whole_each_is_named_and_left_alone(
    one: Trainer, whole: tuple[Path, TrainState], tmp_path: Path
) -> None:
    run = copied(whole, tmp_path)
    for step in (3, 6):
        cut(run / f"checkpoints/{step}/info/metadata")
    with pytest.raises(InputError, match=r"every checkpoint is damaged:\n  step 6: .*\n  step 3: "):
        one.train(0, run)
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["3", "6"]


_RUNNER = """
import resource, signal, sys
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from conftest import price_trainer
from fusionjax.train.checkpoint import Checkpoints
from fusionjax import app
t = price_trainer(Path({prepared!r}))
{body}
"""


def in_a_process(prepared: Path, body: str) -> subprocess.CompletedProcess:
    code = _RUNNER.format(
        root=str(ROOT),
        tests=str(ROOT / "tests"),
        prepared=str(prepared),
        body=textwrap.dedent(body),
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=900
    )


@pytest.mark.parametrize("room", [20_000, 100], ids=["for logs", "for nothing"])
def test_a_full_disk_costs_the_save_and_not_the_checkpoint_before(
    one: Trainer, whole: tuple[Path, TrainState], prepared: Path, tmp_path: Path, room: int
) -> None:
    """No file may grow beyond so many bytes: what a full disk does."""
    run = copied(whole, tmp_path)
    shutil.rmtree(run / "checkpoints/6")
    done = in_a_process(
        prepared,
        f"""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
        app._reporting(lambda: t.train(0, Path({str(run)!r})))
        """,
    )
    assert done.returncode == 2, done.stderr
    assert ("metrics.jsonl: cannot be written" in done.stderr) == (room == 100)
    assert "the last checkpoint could not be written" in done.stderr
    assert "that of step 3 is there. Make room and run the same command again" in done.stderr
    same(one.train(0, run), whole[1])


def test_a_save_that_fails_on_the_way_is_told_and_tried_again(
    one: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orbax.checkpoint import CheckpointManager

    save, calls = CheckpointManager.save, []

    def failing(self: CheckpointManager, step: int, **args: object) -> object:
        calls.append(step)
        if step == 3:
            raise OSError(28, "No space left on device")
        return save(self, step, **args)

    monkeypatch.setattr(CheckpointManager, "save", failing)
    one.train(0, tmp_path / "run")
    assert calls == [3, 3, 6]
    told = events.read(tmp_path / "run")
    assert [(e["code"], e["step"]) for e in told] == [("C1", 3)]
    assert "No space left on device" in told[0]["text"]


def test_a_folder_that_may_not_be_written_is_refused(prepared: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    tmp_path.chmod(0o755)
    # Root may write anywhere: the process gives that up.
    done = in_a_process(
        prepared,
        f"""
        import os
        if os.getuid() == 0:
            os.setresuid(65534, 65534, 65534)
        app._reporting(lambda: t.train(0, Path({str(closed / "run")!r})))
        """,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cannot be written (Permission denied); give another --workdir" in done.stderr


def test_a_lost_or_damaged_column_of_data_is_named(
    one: Trainer, prepared: Path, tmp_path: Path
) -> None:
    from fusionjax.data import store

    held = Path(shutil.copytree(prepared, tmp_path / "prepared"))
    folder = held / f"sp500-{one.market.fingerprint[:12]}"
    cut(folder / "ohlcv.npy")
    with pytest.raises(InputError, match=r"ohlcv.npy: is not as .*delete .* and prepare again"):
        store.load(folder)
    (folder / "ohlcv.npy").unlink()
    with pytest.raises(InputError, match=r"ohlcv.npy: is missing; delete .* and prepare again"):
        store.load(folder)


def test_a_clock_that_goes_back_is_told_and_changes_nothing(
    one: Trainer, whole: tuple[Path, TrainState], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(whole, tmp_path)
    shutil.rmtree(run / "checkpoints/6")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 7200)
    same(one.train(0, run), whole[1])
    (told,) = (e for e in events.read(run) if e["code"] == "T6")
    assert "behind what it was" in told["text"]
    seconds = json.loads((run / "goodput.json").read_text())["seconds"]
    assert all(s >= 0 for s in seconds.values())


def test_a_run_whose_last_checkpoint_is_damaged_is_not_scored_as_finished(
    one: Trainer, whole: tuple[Path, TrainState], tmp_path: Path
) -> None:
    run = copied(whole, tmp_path)
    for path in every(run / "checkpoints/6", "state/ocdbt.process_0/d/*"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="last checkpoint is damaged, the one before is of step 3"):
        Ensemble(run, one.config, one.market)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"config": {"train": {"of_tomorrow": 1}}}, r"config: unknown keys \['of_tomorrow'\]"),
        ({"scaler": {"median": {}}}, "argument"),
        ({"trained_from": None}, "'trained_from'"),
    ],
)
def test_a_run_of_another_version_is_one_sentence(
    whole: tuple[Path, TrainState], monkeypatch: pytest.MonkeyPatch, change: dict, said: str
) -> None:
    read = Checkpoints._description

    def another(self: Checkpoints, step: int) -> dict:
        stored = read(self, step) | change
        return {k: v for k, v in stored.items() if v is not None}

    monkeypatch.setattr(Checkpoints, "_description", another)
    message = rf"run: was written by another version of fusionjax.*{said}.*; use the version that"
    with Checkpoints(whole[0]) as checkpoints, pytest.raises(InputError, match=message):
        checkpoints.info()
