"""Stop, go on, change the mesh: the run does not notice. Another model: it refuses."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import SP500, feeds_of, seeing, small

from fusionjax.config import Config, MeshConfig
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.parallel.mesh import make_mesh
from fusionjax.parallel.rules import path_name
from fusionjax.registry import FUSIONS
from fusionjax.train import fingerprint
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.hook import Hook, TrainingLoop
from fusionjax.train.hooks.metrics import card
from fusionjax.train.loop import Preempted
from fusionjax.train.run import Trainer
from fusionjax.train.state import TrainState
from fusionjax.train.step import META_LOSS


def config(prepared: Path, **changes: object) -> Config:
    return small(seeing(SP500), prepared, model__layers=1, **changes)


def trainer(prepared: Path, devices: int = 1, **changes: object) -> Trainer:
    mesh = MeshConfig(-1, 8 if devices > 1 else 1, 1)
    return Trainer.from_config(
        config(prepared, **changes), make_mesh(mesh, jax.devices()[:devices])
    )


def at(step: int) -> Callable[[int], bool]:
    return lambda done: done == step


def same(a: TrainState, b: TrainState) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.fixture(scope="module")
def one(prepared: Path) -> Trainer:
    return trainer(prepared)


def test_stopping_and_going_on_changes_no_bit(one: Trainer, tmp_path: Path) -> None:
    whole = one.train(0, tmp_path / "whole")
    for stop in (2, 4):  # before modalities are dropped, before the meta set is refit on
        with pytest.raises(Preempted, match=rf"step {stop} of 6; the state is saved"):
            one.train(0, tmp_path / "parts", at(stop))
    same(one.train(0, tmp_path / "parts"), whole)
    # Six logged rows, each step once, in both folders.
    rows = [
        json.loads(line) for line in (tmp_path / "parts/metrics.jsonl").read_text().splitlines()
    ]
    assert [r["step"] for r in rows] == [1, 2, 3, 4, 5, 6]
    assert list((tmp_path / "parts/tensorboard").glob("events*"))


def test_the_loss_of_later_data_is_a_curve_beside_the_training_loss(
    prepared: Path, tmp_path: Path
) -> None:
    """Each row has the mean over the updates of the fusion weights since the row before."""
    few = trainer(
        prepared, train__steps=12, train__log_every=3, train__checkpoint_every=12,
        distill__warmup_steps=1, distill__update_interval=2, distill__refit_fraction=0.25,
        distill__initial_update_steps=0,
    )  # fmt: skip
    seen: dict[int, float] = {}

    class Collected(Hook):
        def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
            seen[loop.step] = float(metrics[META_LOSS])

    few.train(0, tmp_path, hooks=[Collected()])
    updates = [s for s in seen if weights.is_update_step(few.config, s - 1)]
    assert [s for s, loss in seen.items() if np.isfinite(loss)] == updates
    assert updates == [2, 4, 6, 8], "until the refit phase"
    rows = {
        r["step"]: r for r in map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    }
    assert [s for s, r in rows.items() if META_LOSS in r] == [3, 6, 9]
    assert rows[6][META_LOSS] == pytest.approx((seen[4] + seen[6]) / 2)
    cards = sorted(map(card, rows[6]))
    assert cards[:2] == ["loss/held_out_meta_set", "loss/training"], "first of all cards"
    (board,) = (tmp_path / "tensorboard").glob("events*")
    assert board.read_bytes().count(b"loss/held_out_meta_set") == 3


def test_a_background_save_is_not_torn_by_the_next_step(one: Trainer, tmp_path: Path) -> None:
    """Buffers are donated to the next step while a save may still be reading them."""
    with pytest.raises(Preempted):
        one.train(0, tmp_path / "stopped", at(3))
    one.train(0, tmp_path / "ran_on")  # saves at step 3 and goes on at once
    with Checkpoints(tmp_path / "stopped") as a, Checkpoints(tmp_path / "ran_on", keep=2) as b:
        assert (a.latest(), b.latest()) == (3, 6)
        early = b._read(3, "state", one.program.abstract_state)
        same(a.restore(one.program.abstract_state), early)


def test_a_save_on_many_devices_compiles_nothing(prepared: Path, tmp_path: Path) -> None:
    """A small array that is on all devices is written by one of them, in one piece."""
    t = trainer(prepared, 8)
    state, compiled = t.program.init(0), []
    fingerprint.sums(state)  # which a save asks for, and which is a program
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None
    )
    with Checkpoints(tmp_path / "run", create=True) as checkpoints:
        checkpoints.save(1, state, t.info)
        checkpoints.finish()
    assert not compiled


@pytest.mark.slow
def test_a_run_moves_from_64_to_16_to_8_devices_and_to_1(
    prepared: Path, one: Trainer, tmp_path: Path
) -> None:
    whole, before = one.train(0, tmp_path / "whole"), one
    for devices, stop in ((64, 1), (16, 2), (8, 3)):
        on = trainer(prepared, devices)
        with pytest.raises(Preempted):
            on.train(0, tmp_path / "moved", at(stop))
        with Checkpoints(tmp_path / "moved") as checkpoints:
            restored = checkpoints.restore(on.program.abstract_state)
        assert len(restored.params["fusion"]["readout"]["kernel"].sharding.device_set) == devices
        for a, b in zip(
            jax.tree.leaves(next(feeds_of(on, 0, int(restored.step)))),
            jax.tree.leaves(next(feeds_of(before, 0, stop))),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
        before = on
    state = one.train(0, tmp_path / "moved")
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(state.params),
        jax.tree.leaves(whole.params),
        strict=True,
    ):
        # A standard deviation is a small difference of large sums, and what the quality head reads.
        near = 2e-4 if re.search("clue_std|weights/rater", path_name(path)) else 1e-5
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), atol=near)
    logs = (tmp_path / run / "metrics.jsonl" for run in ("whole", "moved"))
    losses = [[json.loads(r)["loss"] for r in log.read_text().splitlines()] for log in logs]
    np.testing.assert_allclose(*losses, atol=1e-5)


def test_another_model_is_refused_with_the_differing_paths(
    one: Trainer, prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(Preempted):
        one.train(0, tmp_path / "run", at(1))
    wider = trainer(prepared, model__width=32)
    with pytest.raises(InputError, match="model.width: was 16, now 32"):
        wider.train(0, tmp_path / "run")
    with Checkpoints(tmp_path / "run") as checkpoints, pytest.raises(InputError) as e:
        checkpoints.restore(wider.program.abstract_state)
    assert "is of another model" in str(e.value)
    assert (
        "params/fusion/readout/kernel: checkpoint (32, 13) float32, model (64, 13) float32"
        in str(e.value)
    )


def test_other_settings_are_refused_by_key(one: Trainer, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(Preempted):
        one.train(0, tmp_path / "run", at(1))
    faster = trainer(prepared, train__learning_rate=0.5)
    with pytest.raises(InputError, match=r"train.learning_rate: was 0.001, now 0.5"):
        faster.train(0, tmp_path / "run")
    assert "lowered_step" not in vars(faster.program), "refused before anything is compiled"
    with pytest.raises(InputError, match="seed: was 0, now 1"):
        one.train(1, tmp_path / "run")


def test_accumulation_gives_the_same_update(prepared: Path) -> None:
    # Without dropout the microbatches see what the whole batch sees.
    still = {"model__dropout": 0.0, "train__modality_dropout": 0.0}
    states = []
    for parts in (1, 4):
        t = trainer(prepared, train__grad_accum_steps=parts, **still)
        state, _ = t.program.step(t.program.init(0), next(feeds_of(t, 0)), 0)
        states.append(t.program.step(state, next(feeds_of(t, 0, 1)), 0)[1])
    np.testing.assert_allclose(states[0]["loss"], states[1]["loss"], rtol=1e-5)
    np.testing.assert_allclose(states[0]["grad_norm"], states[1]["grad_norm"], rtol=1e-4)


def test_frozen_groups_keep_every_bit(prepared: Path) -> None:
    t = trainer(prepared, train__frozen=("encoders_price/.*",))
    before = jax.device_get(t.program.init(0).params)
    state = t.program.init(0)
    for step_inputs, _ in zip(feeds_of(t, 0), range(3), strict=False):
        state, _ = t.program.step(state, step_inputs, 0)
    after = jax.device_get(state.params)
    for x, y in zip(
        jax.tree.leaves(before["encoders_price"]),
        jax.tree.leaves(after["encoders_price"]),
        strict=True,
    ):
        np.testing.assert_array_equal(x, y)
    readout = (p["fusion"]["readout"]["kernel"] for p in (before, after))
    assert (next(readout) != next(readout)).any()
    wrong = trainer(prepared, train__frozen=("encoder/.*",))
    state, step_inputs = wrong.program.init(0), next(feeds_of(wrong, 0))
    with pytest.raises(InputError, match=r"'encoder/.*' matches no parameter; top-level groups"):
        wrong.program.step(state, step_inputs, 0)


def test_it_can_learn_a_few_samples_by_heart(prepared: Path) -> None:
    """If it cannot overfit, something between data and loss is broken."""
    t = trainer(
        prepared,
        model__dropout=0.0,
        train__modality_dropout=0.0,
        train__steps=300,
        train__learning_rate=5e-3,
        train__weight_decay=0.0,
        distill__refit_fraction=1.0,  # no meta set: every row is learned from the start
        data__splits={"train": ("2000-01-03", "2000-02-28"), "dev": ("2001-01-01", "2001-02-01")},
    )
    assert len(t.training_data.all) < 45
    state = t.program.init(0)
    for step_inputs, _ in zip(feeds_of(t, 0), range(300), strict=False):
        state, metrics = t.program.step(state, step_inputs, 0)
    assert float(metrics["loss_direction"]) < 0.05
    assert float(metrics["loss_volatility"]) < 0.01


def test_metrics_are_read_only_after_the_next_step_was_sent_off(
    one: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    step, read = one.program.step, jax.device_get

    def sent(*arguments: object) -> object:
        events.append("step")
        return step(*arguments)  # type: ignore[arg-type]

    def got(tree: object) -> object:
        if isinstance(tree, dict) and "loss" in tree:  # not what dropping modalities reads
            events.append("read")
        return read(tree)

    monkeypatch.setattr(one.program, "step", sent)
    monkeypatch.setattr("fusionjax.train.hooks.metrics.jax.device_get", got)
    one.train(0, tmp_path / "run")
    assert events == ["step"] + ["step", "read"] * 5 + ["read"]


def test_nothing_is_compiled_after_the_first_step(one: Trainer) -> None:
    state = one.program.init(0)
    batch_source = feeds_of(one, 0)
    state, _ = one.program.step(state, next(batch_source), 0)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None
    )
    for _ in range(3):
        state, _ = one.program.step(state, next(batch_source), 0)
    jax.block_until_ready(state)
    assert not compiled
    jax.jit(lambda x: x * 3 + 1)(jax.numpy.ones(7)).block_until_ready()
    assert compiled, "the listener hears a compilation when there is one"


def test_only_matrices_decay(one: Trainer) -> None:
    from fusionjax.train.optim import decayed

    mask = decayed(one.program.abstract_state.params)
    spared = {path_name(p) for p, on in jax.tree_util.tree_leaves_with_path(mask) if not on}
    own = {n for n in spared if any(re.fullmatch(x, n) for x in FUSIONS["distilled"].frozen)}
    assert {n.split("/")[-1] for n in spared - own} == {
        *("scale", "bias", "expert_bias", "typical_log_scale"),
    }
    assert own == {
        *(f"fusion/{n}" for n in ("kept", "feature", "presence", "clue_mean", "clue_std")),
        *(f"fusion/weights/{n}" for n in ("modality", "rater", "joint")),
    }
    assert "encoders_price/stack/layers/attention_norm/scale" in spared


def test_what_is_frozen_does_not_shrink_the_rest(prepared: Path) -> None:
    from fusionjax.train.optim import optimiser

    c = config(prepared, train__frozen=("a",), train__clip_norm=1.0, model__fusion="equal")
    tx = optimiser(c)
    params = {"a": jax.numpy.ones((2, 2)), "b": jax.numpy.ones((2, 2))}
    moved = []
    for loud in (1.0, 1e6):
        grads = {"a": jax.numpy.full((2, 2), loud), "b": jax.numpy.full((2, 2), 0.1)}
        with jax.numpy_dtype_promotion("standard"):
            state = tx.init(params)
            for _ in range(2):  # the first step of the warm-up has rate zero
                updates, state = tx.update(grads, state, params)
        assert not updates["a"].any()
        moved.append(updates["b"])
    assert moved[0].any()
    np.testing.assert_array_equal(*moved)


def test_a_killed_runs_extra_rows_are_dropped(one: Trainer, tmp_path: Path) -> None:
    with pytest.raises(Preempted):
        one.train(0, tmp_path / "run", at(2))
    log = tmp_path / "run/metrics.jsonl"
    extra = '{"step": 3, "loss": 9, "steps_per_second": 4.0}\n{"step": 4, "lo'
    log.write_text(log.read_text() + extra)
    one.train(0, tmp_path / "run")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [r["step"] for r in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[2]["loss"] != 9
    spent = json.loads((tmp_path / "run/goodput.json").read_text())["seconds"]
    assert 0 < spent["lost"] <= 0.25, "one update, made again"


def test_two_trainings_of_one_folder_do_not_meet(one: Trainer, tmp_path: Path) -> None:
    with (
        Checkpoints(tmp_path / "run", create=True),
        pytest.raises(InputError, match="another training writes here"),
    ):
        one.train(0, tmp_path / "run")
    one.train(0, tmp_path / "run")
