"""One update: what training rows move, what the meta set moves, and when."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import seeing, small

from fusionjax.config import Config
from fusionjax.distill import weights
from fusionjax.distill.elimination import Sessions, enough_shown
from fusionjax.models.fusions.mmpareto import MMPareto, common_direction
from fusionjax.registry import FUSIONS
from fusionjax.train.inference_fns import make_elimination, make_encode
from fusionjax.train.state import TrainState, init_state
from fusionjax.train.step import META_LOSS, make_examination, make_step
from fusionjax.types import Batch, StepInputs, Targets, VectorInput

SIZES = {"a": 4, "b": 3}


def config(**changes: object) -> Config:
    c = seeing({name: {"kind": "vector", "features": n} for name, n in SIZES.items()})
    plain = {"train__warmup_steps": 0, "train__modality_dropout": 0.0, "model__dropout": 0.0}
    return small(c, Path(), **{"model__width": 8} | plain | changes)


SEED = np.uint32(0)
# Weights stay before step 3, move in 3 and 4, and stay from 5 on. One program for all.
TAUGHT = config(distill__warmup_steps=3, distill__refit_fraction=0.2)


def batch(seed: int, rows: int = 16) -> Batch:
    """The label follows a's first feature; b is noise and missing from every other row."""
    rng = np.random.default_rng(seed)
    x = {name: rng.normal(size=(rows, n)).astype(np.float32) for name, n in SIZES.items()}
    there = {"a": np.ones(rows, bool), "b": np.arange(rows) % 2 == 0}
    x["b"] = np.where(there["b"][:, None], x["b"], np.float32(0))
    up = x["a"][:, :1] + rng.normal(size=(rows, 1)) > 0
    on = np.ones((rows, 1), bool)
    return Batch(
        inputs={name: VectorInput(v) for name, v in x.items()},
        present=there,
        targets=Targets(
            {
                "direction": up.astype(np.int32),
                "returns": rng.normal(size=(rows, 2)).astype(np.float32),
                "volatility": rng.normal(size=(rows, 1)).astype(np.float32),
            },
            {"direction": on, "returns": np.repeat(on, 2, 1), "volatility": on},
        ),
        log_scale=np.zeros(rows, np.float32),
        weight=np.ones(rows, np.float32),
        sample_id=np.arange(rows, dtype=np.int32),
    )


def other_labels(b: Batch) -> Batch:
    t = b.targets
    other = {k: 1 - v if k == "direction" else -v for k, v in t.label.items()}
    return b.replace(targets=t.replace(label=other))


def compiled(c: Config, sessions: float = 8.0) -> Any:
    return jax.jit(make_step(c, sessions))


def start(c: Config) -> TrainState:
    return jax.jit(partial(init_state, c))(SEED, batch(0))


@pytest.fixture(scope="module")
def step() -> Any:
    return compiled(TAUGHT)


@pytest.fixture(scope="module")
def states(step: Any) -> list[TrainState]:
    """A run on ever new rows, before each step and after the last. The meta set never changes."""
    made = [start(TAUGHT)]
    for i in range(6):
        state, _ = step(made[-1], StepInputs(batch(i), batch(99)), SEED)
        made.append(state)
    return made


def same(a: Any, b: Any) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def rest(state: TrainState) -> Any:
    """All that training rows move."""
    return weights.put(state.params, ()), state.opt_state


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FUSIONS])
def test_every_fusion_learns(name: str) -> None:
    c = config(
        model__fusion=name,
        model__dropout=0.2,
        train__grad_accum_steps=2,
        train__modality_dropout=0.2,
    )
    learn, step_inputs = (
        compiled(c),
        StepInputs(batch(1), batch(2) if name == "distilled" else None),
    )
    started = state = start(c)
    for _ in range(3):
        state, metrics = learn(state, step_inputs, SEED)
    updated = name != "distilled" or weights.is_update_step(c, 2)
    assert np.isfinite(metrics.pop(META_LOSS, 0.0)) == updated, "known where it was computed"
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((state, metrics)))
    for part in ("encoders_a", "encoders_b", "fusion"):
        assert not same(started.params[part], state.params[part]), part


def test_training_rows_never_move_the_weights(states: list[TrainState]) -> None:
    started, state = states[0], states[3]
    assert same(weights.get(state.params), weights.get(started.params))
    assert same(weights.get(state.ema_params), weights.get(started.params))
    assert same(state.weights_opt_state, started.weights_opt_state)
    assert same(state.params["fusion"]["kept"], np.ones(2))
    for part in ("encoders_a", "encoders_b"):
        assert not same(state.params[part], started.params[part])
    for part in ("readout", "expert_kernel", "mlp_in"):
        assert not same(state.params["fusion"][part], started.params["fusion"][part])


def test_the_meta_set_moves_the_weights_and_nothing_else(
    step: Any, states: list[TrainState]
) -> None:
    """Neither its labels nor its inputs reach an encoder, a head or the optimiser of either."""
    before, meta = states[4], batch(50)
    a, b, other = (
        step(before, StepInputs(batch(4), x), SEED) for x in (meta, other_labels(meta), batch(51))
    )
    for name, phi in weights.get(a[0].params).items():
        assert not same(phi, weights.get(before.params)[name]), f"{name} moves"
    for x in (b, other):
        assert not same(weights.get(a[0].params), weights.get(x[0].params))
        assert same(rest(a[0]), rest(x[0]))
        train = [{k: v for k, v in m.items() if k != META_LOSS} for m in (a[1], x[1])]
        assert same(*train), "the training loss of this step too"
        assert a[1][META_LOSS] != x[1][META_LOSS]


def test_the_weights_are_fixed_once_the_refit_phase_begins(states: list[TrainState]) -> None:
    taught, settled, done = (s.params for s in states[4:])
    assert not same(weights.get(taught), weights.get(settled))
    assert same(weights.get(settled), weights.get(done))
    assert not same(settled["encoders_a"], done["encoders_a"])


def test_what_is_due_when_by_hand() -> None:
    c = config(
        train__steps=20,
        distill__warmup_steps=3,
        distill__initial_update_steps=2,
        distill__update_interval=4,
        distill__refit_fraction=0.3,
    )
    assert (weights.elimination_step(c), weights.refit_start(c)) == (8, 14)
    due = jax.jit(partial(weights.is_update_step, c))
    moves = [s for s in range(20) if due(np.int32(s))]
    assert moves == [3, 4, 7, 8, 9, 11]  # bursts from 3 and 8, every fourth from 3


def test_quality_features_are_followed_where_a_modality_is_present(
    states: list[TrainState],
) -> None:
    """After the first step the running means hold 0.9 of what the batch says."""
    started, fusion = states[0].params, states[1].params["fusion"]
    fusion = jax.device_get(fusion)
    np.testing.assert_allclose(fusion["presence"], [1.0, 0.1 + 0.9 * 0.5], rtol=1e-6)
    loud = np.asarray(jax.jit(make_encode(TAUGHT))(started, batch(0)).energy)
    for i, seen in enumerate((loud[:, 0], loud[::2, 1])):
        np.testing.assert_allclose(fusion["clue_mean"][i, 0], 0.9 * seen.mean(), rtol=1e-4)
        np.testing.assert_allclose(fusion["clue_std"][i, 0], 0.1 + 0.9 * seen.std(), rtol=1e-3)
    # At their start the experts say nothing: all equally unsure, none apart.
    np.testing.assert_allclose(fusion["clue_mean"][:, 1], 0.9, rtol=1e-5)
    np.testing.assert_allclose(fusion["clue_mean"][:, 2], 0.9 * np.log(1e-4), rtol=1e-5)


def ask(c: Config, state: TrainState, meta: Batch, session: np.ndarray) -> tuple[Any, Any]:
    encoded = jax.jit(make_encode(c))(state.ema_params, meta)
    shown = enough_shown(np.stack([*meta.present.values()], -1), session).astype(np.float32)
    asked = encoded, meta, Sessions.of(session, 1), shown
    return jax.device_get(jax.jit(make_elimination(c))(state, *asked))


def test_elimination_changes_both_copies_and_what_nobody_saw_waits(
    states: list[TrainState],
) -> None:
    meta = batch(99)
    meta = meta.replace(present=meta.present | {"b": np.zeros(16, bool)})
    new, said = ask(TAUGHT, states[5], meta, np.arange(16))
    assert said["kept"].tolist() == [1, 0]
    assert (said["worth"][1], said["error"][1]) == (0, 0)
    for tree in (new.params, new.ema_params):
        assert tree["fusion"]["kept"].tolist() == [1, 0]
        feature = np.asarray(tree["fusion"]["feature"])
        assert feature.min() >= 0
        assert feature[0].max() == 1
        assert tree["fusion"]["presence"][1] == 0
        assert not weights.get(tree)["modality"].any(), "weighed anew"
    assert same(new.opt_state, states[5].opt_state)


def test_a_dropped_modality_stays_dropped(step: Any, states: list[TrainState]) -> None:
    fusion = states[5].params["fusion"] | {"kept": np.array([1, 0], np.float32)}
    dropped = states[5].params | {"fusion": fusion}
    state, _ = step(
        states[5].replace(params=dropped, ema_params=dropped),
        StepInputs(batch(5), batch(99)),
        SEED,
    )
    for tree in (state.params, state.ema_params):
        assert tree["fusion"]["kept"].tolist() == [1, 0]


@pytest.mark.slow
def test_the_weights_tell_what_the_label_is_made_of_from_noise() -> None:
    c = config(
        train__steps=300,
        train__learning_rate=5e-3,
        targets__returns__weight=0.0,
        targets__volatility__weight=0.0,
        distill__warmup_steps=50,
        distill__refit_fraction=0.3,
    )
    learn = compiled(c, sessions=1000.0)
    state = start(c)
    for i in range(weights.elimination_step(c)):
        state, _ = learn(state, StepInputs(batch(i, 64), batch(5000 + i, 64)), SEED)
    a, b = jax.nn.sigmoid(weights.get(state.params)["modality"]).tolist()
    assert a > 1.5 * b
    state, said = ask(c, state, batch(9999, 256), np.arange(256))
    assert said["earned"][0] > 3 * said["error"][0]
    assert said["kept"].tolist() == [1, 0]


def test_no_key_is_used_for_two_purposes() -> None:
    """OGM-GE's noise had the keys of augmentation and dropout."""
    c = config(
        model__fusion="ogm_ge",
        model__dropout=0.1,
        train__modality_dropout=0.2,
        train__grad_accum_steps=2,
    )
    step = make_step(c)
    with jax.debug_key_reuse(True):
        jax.jit(lambda b, seed: step(init_state(c, seed, b), StepInputs(b, None), seed)[1])(
            batch(0), SEED
        )


def test_the_gradients_of_both_losses_reach_the_fusion_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    c = config(model__fusion="mmpareto")
    # Away from the start, where heads are zero and encoders have no gradient.
    learn, state, now = compiled(c), start(c), StepInputs(batch(0), None)
    state = learn(learn(state, now, SEED)[0], now, SEED)[0]

    def gradients(combine: Any) -> Any:
        monkeypatch.setattr(MMPareto, "combine_gradients", staticmethod(combine))
        return jax.jit(make_examination(c))(state, now, SEED)["gradients"]

    made = gradients(MMPareto.combine_gradients)
    joint, alone = gradients(lambda joint, _: joint), gradients(lambda _, alone: alone)
    for name in ("encoders_a", "encoders_b"):
        expected = common_direction(joint[name], alone[name])
        for a, b in zip(jax.tree.leaves(made[name]), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
    assert not joint["fusion"]["expert_kernel"].any()
    assert not alone["fusion"]["readout"]["kernel"].any()
    monkeypatch.setattr(MMPareto, "splits_gradients", False)
    both = gradients(MMPareto.combine_gradients)  # one backward pass, of the sum
    for parts in zip(*map(jax.tree.leaves, (both, joint, alone)), strict=True):
        np.testing.assert_allclose(parts[0], parts[1] + parts[2], rtol=1e-4, atol=1e-7)
