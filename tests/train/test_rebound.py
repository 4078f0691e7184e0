"""The best state, and when to go back to it: by hand, by simulation, in real trainings."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import price_trainer

from fusionjax.train import events, guards
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.loop import Preempted
from fusionjax.train.rebound import History, LossWindow, Rebound
from fusionjax.train.run import Trainer
from fusionjax.train.state import TrainState

WINDOW, STEPS = 4, 32


def trainer(prepared: Path, **changes: object) -> Trainer:
    return price_trainer(
        prepared,
        **{"train__steps": STEPS, "train__checkpoint_every": 8, "train__learning_rate": 3e-3,
           "guard__window": WINDOW, "guard__grad_norm_zscore": 0.0}
        | changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sound(prepared: Path) -> Trainer:
    return trainer(prepared)


def test_a_look_by_hand() -> None:
    look = LossWindow.of(4, np.array([1.0, 2.0, 3.0, 10.0]))
    assert look.loss == 2.5
    # Median distance from the middle: of 1.5, .5, .5, 7.5 it is 1.
    assert look.error == pytest.approx(1.2533 * 1.4826 * 1.0 / 2)
    assert LossWindow(9, 1.5, 0.3).above(LossWindow(1, 1.0, 0.4)) == pytest.approx(1.0, abs=1e-4)


def test_history_survives_json() -> None:
    history = History([LossWindow(4, 1.0, 0.1)], LossWindow(4, 1.0, 0.1), 8, 2)
    assert History.from_json(json.loads(json.dumps(history.to_json()))) == history


def looks(losses: np.ndarray, window: int) -> list[LossWindow]:
    cut = losses[: len(losses) // window * window].reshape(-1, window)
    return [LossWindow.of((i + 1) * window, row) for i, row in enumerate(cut)]


def rebounds(losses: np.ndarray, begin: int = 0) -> list[int]:
    """Looks that are judged a rebound, by their number; the best is one of those before each."""
    history, found = History(), []
    for i, look in enumerate(looks(losses, 40)):
        history.looks.append(look)
        best = min(history.looks, key=lambda x: x.loss)
        if look.above(best, history.usual_error()) > 6 and i >= begin:
            found.append(i)
    return found


@pytest.mark.parametrize("shape", ["normal", "heavy tails"])
def test_noise_alone_is_no_rebound(shape: str) -> None:
    """400 trainings of 4,000 steps that have converged: none goes back."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(400):
        noise = rng.normal(size=4000) if shape == "normal" else rng.standard_t(3, 4000)
        alarms += bool(rebounds(0.69 + 0.02 * noise))
    assert alarms == 0


def test_a_rise_of_two_and_a_half_deviations_is_one_whatever_the_losses_scale() -> None:
    rng = np.random.default_rng(1)
    for scale in (1e-3, 1.0, 100.0):
        soon = 0
        for _ in range(50):
            losses = scale * (1 + 0.05 * rng.normal(size=400))
            losses[240:] += scale * 0.05 * 2.5
            soon += bool({6, 7} & set(rebounds(losses)))
        assert soon >= 48, "of 50 within two looks"


class _Told:
    """Losses of one's own making on real states: step s has losses[s]."""

    def __init__(self, t: Trainer, losses: np.ndarray, checkpoints: Checkpoints | None = None):
        config = t.config
        if checkpoints is not None:
            config = config.override({"guard.memory_bytes": 0.0})
        self.rebound = Rebound(config.guard, t.program.abstract_state, [], checkpoints)
        self.state, self.losses = t.program.init(0), losses

    def marked(self, step: int) -> TrainState:
        """A state that is told from the others, after ``step`` updates with these losses."""
        guard = dataclasses.replace(
            self.state.guard,
            losses=np.asarray(self.losses[step - WINDOW : step], np.float32),
            count=np.int32(step),
        )
        params = jax.tree.map(lambda x: np.full(x.shape, step, x.dtype), self.state.params)
        whole = jax.tree.map(np.asarray, dataclasses.replace(self.state, params=params))
        state = dataclasses.replace(whole, guard=jax.tree.map(np.asarray, guard))
        state = dataclasses.replace(state, step=np.int32(step))
        split = jax.tree.map(lambda x: x.sharding, self.state)
        return jax.device_put(state, split)


def of(state: TrainState) -> float:
    return float(np.asarray(jax.tree.leaves(state.params)[0]).ravel()[0])


def test_it_goes_back_to_the_state_that_low_losses_followed(sound: Trainer) -> None:
    level = np.repeat([1.0, 0.8, 0.5, 0.7, 2.0], WINDOW)
    told = _Told(sound, level + 1e-3 * np.tile([1, -1, 2, -2], 5))
    for step in range(WINDOW, 5 * WINDOW, WINDOW):
        told.rebound.hold(step, told.marked(step))
        verdict = told.rebound.look()
        if step == 4 * WINDOW:
            break
        assert not verdict.acts, step
    # Losses .7 after .5 are far above it in its noise. The .5 followed the state of step 8.
    assert verdict.seen is not None
    assert verdict.best is not None
    assert (verdict.seen.step, verdict.best.step) == (16, 8)
    assert verdict.state is not None
    assert of(verdict.state) == 8
    assert int(verdict.state.step) == 16, "the steps between are not made again"
    assert float(verdict.state.guard.rate) == 0.5
    assert int(verdict.state.guard.count) == 0


def test_after_so_many_times_it_is_only_told(sound: Trainer) -> None:
    told = _Told(sound, np.repeat([1.0, 0.5, 0.5, 2.0, 2.0], WINDOW))
    told.rebound.history.rollbacks = 3
    for step in range(WINDOW, 4 * WINDOW + 1, WINDOW):
        told.rebound.hold(step, told.marked(step))
        verdict = told.rebound.look()
    assert verdict.seen is not None
    assert verdict.state is None
    told.rebound.hold(20, told.marked(20))
    assert not told.rebound.look().acts, "told once"


def test_nothing_is_compared_over_a_turn(sound: Trainer) -> None:
    told = _Told(sound, np.repeat([1.0, 0.5, 0.5, 3.0, 3.0, 3.0], WINDOW))
    told.rebound._loss_changes = [12]  # what the loss means changes here
    for step in range(WINDOW, 6 * WINDOW + 1, WINDOW):
        told.rebound.hold(step, told.marked(step))
        assert not told.rebound.look().acts


def test_no_way_leads_to_before_the_fusion_was_settled(sound: Trainer) -> None:
    """What it dropped would be back, for good: it is settled once."""
    told = _Told(sound, np.repeat([1.0, 0.5, 0.5, 0.9, 0.9, 0.9, 2.0], WINDOW))
    told.rebound._loss_changes = [14]
    for step in (4, 8, 12):
        told.rebound.hold(step, told.marked(step))
        assert not told.rebound.look().acts
    assert told.rebound.history.best is not None
    assert told.rebound.history.best.step == 4
    told.rebound.modalities_selected(14, told.marked(14))
    now = told.marked(15)
    back = told.rebound.back((now.guard, guards.counters(now)))
    assert back is not None
    assert of(back) == 14
    for step in (16, 20, 24, 28):
        told.rebound.hold(step, told.marked(step))
        verdict = told.rebound.look()
        assert verdict.acts == (step == 28)
    assert verdict.best is not None
    assert verdict.best.step == 20, "judged by the losses after it"


def test_of_a_large_state_a_checkpoint_waits_until_it_is_judged(
    sound: Trainer, tmp_path: Path
) -> None:
    """They may be closer together than looks; a restart remembers which one waits."""
    with Checkpoints(tmp_path / "run", keep=1, create=True) as checkpoints:
        level = np.repeat([1.0, 0.8, 0.5, 0.5, 2.0], WINDOW)
        told = _Told(sound, level + 0.02 * np.tile([1, -1, 2, -2], 5), checkpoints)
        for step in range(2, 17, 2):
            if step % WINDOW == 0:
                told.rebound.hold(step, told.marked(step))
                assert not told.rebound.look().acts
            told.rebound.saves(step)
            if step == 2:
                assert told.rebound.to_checkpoint()[0]["pending"] == 2, "in the checkpoint itself"
        best = told.rebound.history.best
        assert best is not None
        assert best.step == 8
        # Its checkpoint was never written: no way back, which is told, and nothing breaks.
        told.rebound.hold(20, told.marked(20))
        verdict = told.rebound.look()
        assert (verdict.acts, verdict.state) == (True, None)
        assert told.rebound.history.rollbacks == 0
    (row,) = events.read(tmp_path / "run")
    assert (row["code"], row["step"]) == ("C2", 8)


def test_a_large_state_goes_back_to_the_best_checkpoint_which_stays(
    sound: Trainer, tmp_path: Path
) -> None:
    level = np.repeat([1.0, 0.8, 0.5, 0.55, 0.55, 0.55, 2.0], WINDOW)
    with Checkpoints(tmp_path / "run", keep=1, create=True) as checkpoints:
        told = _Told(sound, level + 0.05 * np.tile([1, -1, 2, -2], 7), checkpoints)
        for step in range(WINDOW, 7 * WINDOW + 1, WINDOW):
            told.rebound.hold(step, told.marked(step))
            verdict = told.rebound.look()
            assert verdict.acts == (step == 28), step
            if step in (8, 16, 24):
                told.rebound.saves(step)
                checkpoints.save(step, told.marked(step), sound.info, *told.rebound.to_checkpoint())
            if verdict.acts:
                break
        checkpoints.finish()
        assert verdict.state is not None
        assert verdict.best is not None
        assert verdict.best.step == 8
        assert of(verdict.state) == 8
        assert checkpoints._manager.all_steps() == [8, 24], "the newest, and the best"


def spoil(monkeypatch: pytest.MonkeyPatch, t: Trainer, first: int, last: int) -> None:
    """Some steps learn at a thousand times the rate."""
    step = t.program.step

    def wild(state: TrainState, step_inputs: Any, *args: Any) -> Any:
        wrong = first <= int(state.step) < last
        before = state.guard.rate
        if wrong:
            rate = before * np.float32(1e3)
            guard = dataclasses.replace(state.guard, rate=rate)
            state = dataclasses.replace(state, guard=guard)
        state, said = step(state, step_inputs, *args)
        if wrong:
            guard = dataclasses.replace(state.guard, rate=state.guard.rate / np.float32(1e3))
            state = dataclasses.replace(state, guard=guard)
        return state, said

    monkeypatch.setattr(t.program, "step", wild)


def test_a_training_goes_back_tells_it_and_a_restart_changes_no_bit(
    sound: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, sound, 16, 18)
    whole = sound.train(0, tmp_path / "whole")
    told = [e for e in events.read(tmp_path / "whole") if e["code"] == "G2"]
    assert [e["step"] in (20, 24) and e["back_to"] <= 16 for e in told] == [True], "a window or two"
    assert "standard errors above" in told[0]["text"]
    assert float(whole.guard.rate) == 0.5
    for stop in (17, 20, 21, 26):
        with pytest.raises(Preempted):
            sound.train(0, tmp_path / "parts", lambda done, at=stop: done == at)
    parts = sound.train(0, tmp_path / "parts")
    for x, y in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
    with Checkpoints(tmp_path / "whole") as a, Checkpoints(tmp_path / "parts") as b:
        assert a.history() == b.history()
        assert len(a.history()["looks"]) == STEPS // WINDOW


def test_slowed_twice_is_a_quarter(sound: Trainer) -> None:
    guard = sound.program.init(0).guard
    assert float(guards.after_rollback(guards.after_rollback(guard, 0.5), 0.5).rate) == 0.25
