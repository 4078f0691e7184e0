"""A hook of one's own sees every step in order, and the order keeps what the loop promises."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import price_trainer
from test_nonfinite import first_seen_at, nan_price, planted

from fusionjax.errors import Preempted
from fusionjax.evaluate.inference import predict
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.hook import Hook, TrainingLoop
from fusionjax.train.loop import fit
from fusionjax.train.run import Trainer

STEPS, EVERY, BAD = 12, 4, 7


@pytest.fixture(scope="module")
def trainer(prepared: Path) -> Trainer:
    return price_trainer(
        prepared, train__steps=STEPS, train__checkpoint_every=EVERY, train__log_every=1,
        guard__window=2, guard__grad_norm_zscore=0.0,
    )  # fmt: skip


class Recorder(Hook):
    """Writes down what is called, and at which step."""

    def __init__(self, into: list[tuple[str, int]] | None = None) -> None:
        self.calls = [] if into is None else into

    def opened(self, loop: TrainingLoop) -> None:
        self.calls.append(("opened", loop.step))

    def before_step(self, loop: TrainingLoop) -> None:
        self.calls.append(("before_step", loop.step))

    def dispatched(self, loop: TrainingLoop) -> None:
        self.calls.append(("dispatched", loop.step))

    def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
        assert isinstance(metrics["loss"], jax.Array), "still on the device"
        self.calls.append(("after_step", loop.step))

    def review(self, loop: TrainingLoop) -> bool:
        self.calls.append(("review", loop.step))
        return False

    def rewound(self, loop: TrainingLoop) -> None:
        self.calls.append(("rewound", loop.step))

    def save(self, loop: TrainingLoop) -> None:
        self.calls.append(("save", loop.step))

    def closed(self, loop: TrainingLoop) -> None:
        self.calls.append(("closed", loop.step))


class Validation(Hook):
    """Forecasts some rows every few steps, as one that validates while training would."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.up: dict[int, np.ndarray] = {}

    def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
        if loop.step % self.every == 0:
            run, rows = loop.run, loop.training_data.all.row[:8]
            self.up[loop.step] = predict(
                run.program, loop.state.ema_params, run.windows, rows, 64
            ).value["direction"]


def one_step(step: int) -> list[tuple[str, int]]:
    """What is called in the step that ends as number ``step``."""
    begun = [("before_step", step - 1), ("dispatched", step - 1)]
    done = [("after_step", step), ("review", step)]
    return begun + done + [("save", step)] * (step % EVERY == 0)


def test_a_step_is_always_in_this_order(trainer: Trainer, tmp_path: Path) -> None:
    recorder = Recorder()
    trainer.train(0, tmp_path / "run", hooks=[recorder])
    steps = [call for step in range(1, STEPS + 1) for call in one_step(step)]
    assert recorder.calls == [("opened", 0), *steps, ("closed", STEPS)]


def test_a_stop_saves_and_a_restart_goes_on_there(trainer: Trainer, tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(Preempted):
        trainer.train(0, tmp_path / "run", lambda step: step == 5, hooks=[recorder])
    assert recorder.calls[-3:] == [("review", 5), ("save", 5), ("closed", 5)]
    again = Recorder()
    trainer.train(0, tmp_path / "run", hooks=[again])
    assert again.calls[:2] == [("opened", 5), ("before_step", 5)]


def test_a_step_is_dispatched_before_anything_of_an_earlier_one_is_read(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is written that the guards have not read."""
    calls: list[tuple[str, int]] = []

    def noted(name: str, function: Callable[..., Any], of_it: Callable[..., bool]) -> Any:
        def noting(*arguments: Any) -> Any:
            if of_it(*arguments):
                calls.append((name, -1))
            return function(*arguments)

        return noting

    def always(*_: Any) -> bool:
        return True

    def of_metrics(tree: Any) -> bool:
        return isinstance(tree, dict) and "loss" in tree

    def of_losses(tree: Any) -> bool:
        return isinstance(tree, tuple) and len(tree) == 3

    read = noted("read losses", jax.device_get, of_losses)
    monkeypatch.setattr(jax, "device_get", noted("read metrics", read, of_metrics))
    monkeypatch.setattr(trainer.program, "step", noted("step", trainer.program.step, always))
    monkeypatch.setattr(Checkpoints, "save", noted("written", Checkpoints.save, always))
    trainer.train(0, tmp_path / "run", hooks=[Recorder(calls)])
    names = [name for name, _ in calls]
    # Step 3 is on its way when metrics of step 2, and the losses of 1 and 2, are read.
    third = [i for i, name in enumerate(names) if name == "before_step"][2]
    assert names[third : third + 5] == [
        *("before_step", "step", "read metrics", "read losses", "dispatched"),
    ]
    assert names.count("read metrics") == STEPS, "each row once"
    for at in (i for i, name in enumerate(names) if name == "written"):
        made = max(i for i, name in enumerate(names[:at]) if name == "step")
        looked = max(i for i, name in enumerate(names[:at]) if name == "read losses")
        assert made < looked < at, "of the very step that is saved"


def test_after_a_non_finite_step_hooks_are_rewound_and_nothing_is_saved_of_it(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, first_seen_at(trainer, BAD), nan_price)
    recorder = Recorder()
    trainer.train(0, tmp_path / "run", hooks=[recorder])
    assert recorder.calls.count(("rewound", BAD)) == 1
    at = recorder.calls.index(("rewound", BAD))
    # Checkpoint 8 is due after the step that failed: it is looked at first, and made again.
    assert recorder.calls[at - 1] == ("review", BAD + 1)
    assert recorder.calls[at + 1 : at + 6] == one_step(BAD + 1)


def test_a_run_that_stops_leaves_a_non_finite_step_to_the_next_start(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, first_seen_at(trainer, BAD), nan_price)
    recorder = Recorder()
    with pytest.raises(Preempted, match=f"stopped at step {BAD} of"):
        trainer.train(0, tmp_path / "run", lambda step: step == BAD + 1, hooks=[recorder])
    assert recorder.calls[-4:] == [
        ("review", BAD + 1),
        ("rewound", BAD),
        ("save", BAD),
        ("closed", BAD),
    ]
    assert not (tmp_path / "run/events.jsonl").read_text().count('"N1"')
    trainer.train(0, tmp_path / "run")
    assert '"N1"' in (tmp_path / "run/events.jsonl").read_text()


def test_a_hook_that_validates_changes_no_bit(trainer: Trainer, tmp_path: Path) -> None:
    plain = trainer.train(0, tmp_path / "plain")
    validation = Validation(every=3)
    state = trainer.train(0, tmp_path / "run", hooks=[validation])
    assert list(validation.up) == [3, 6, 9, 12]
    assert all(up.shape == (8, 1) for up in validation.up.values())
    assert (validation.up[3] != validation.up[12]).any(), "the model has moved"
    for x, y in zip(jax.tree.leaves(plain), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_hooks_are_closed_in_reverse_whatever_ends_the_training(trainer: Trainer) -> None:
    class Broken(Recorder):
        def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
            raise LookupError("mine")

    class Named(Recorder):
        def closed(self, loop: TrainingLoop) -> None:
            self.calls.append(("the first one closed", loop.step))

    calls: list[tuple[str, int]] = []
    with pytest.raises(LookupError, match="mine"):
        fit(trainer, trainer.training_data, hooks=[Named(calls), Broken(calls)])
    assert calls[-2:] == [("closed", 1), ("the first one closed", 1)]
