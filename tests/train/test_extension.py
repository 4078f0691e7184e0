"""A training goes on after its last step: the same bits after a kill, and what is refused."""

import dataclasses
import functools
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import price_trainer

from fusionjax import api, ledger
from fusionjax.errors import InputError, Preempted
from fusionjax.train import events, extension
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.optim import extension_starts, schedule
from fusionjax.train.run import Trainer
from fusionjax.train.state import TrainState

DISTILLED = {"model__fusion": "distilled"}


@pytest.fixture(scope="module")
def short(prepared: Path) -> Trainer:
    return price_trainer(prepared, **DISTILLED)


@pytest.fixture(scope="module")
def long(prepared: Path) -> Trainer:
    return price_trainer(prepared, **DISTILLED, train__extensions=(5,))


@pytest.fixture(scope="module")
def extended(short: Trainer, long: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of six steps, the first of them extended by five."""
    run = tmp_path_factory.mktemp("run")
    for seed in (0, 1):
        short.train(seed, run / f"seed_{seed}")
    long.train(0, run / "seed_0")
    return run


def same(a: TrainState, b: TrainState) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def state(trainer: Trainer, folder: Path) -> TrainState:
    with Checkpoints(folder) as checkpoints:
        return checkpoints.restore(trainer.program.abstract_state)


def test_an_extension_goes_on_to_the_same_bits_and_fixes_the_fusion(
    short: Trainer, long: Trainer, extended: Path, tmp_path: Path
) -> None:
    before = short.train(0, tmp_path / "run")
    weights = jax.device_get(before.params["fusion"]["weights"])
    with pytest.raises(Preempted, match="step 8 of 11; the state is saved"):
        long.train(0, tmp_path / "run", lambda step: step == 8)
    after = long.train(0, tmp_path / "run")
    assert int(after.step) == 11
    same(after, state(long, extended / "seed_0"))
    jax.tree.map(np.testing.assert_array_equal, weights, after.params["fusion"]["weights"])
    moved = [
        bool((np.asarray(a) != np.asarray(b)).any())
        for a, b in zip(jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True)
    ]
    assert any(moved), "the rest has learned on"
    told = [e for e in events.read(tmp_path / "run") if e["code"] == "T8"]
    assert [e["text"] for e in told] == ["seed 0: extended by 5 steps, from 6 to 11"]
    assert not [e for e in events.read(tmp_path / "run") if e["code"] in ("G1", "G2", "G3")]


def test_the_learning_rate_restarts_where_the_refit_phase_began(long: Trainer) -> None:
    config = long.config
    rate = schedule(config)
    first = schedule(dataclasses.replace(config, train=dataclasses.replace(
        config.train, extensions=())))  # fmt: skip
    np.testing.assert_allclose([rate(s) for s in range(6)], [first(s) for s in range(6)])
    assert float(rate(5)) < float(rate(6)) == pytest.approx(float(first(4)))
    rates = [float(rate(step)) for step in range(6, 12)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)
    twice = config.override({"train.extensions": (5, 3)})
    assert extension_starts(twice.train) == [6, 11]
    assert twice.train.last_step == 14
    assert float(schedule(twice)(11)) == pytest.approx(rates[0])


def test_all_seeds_are_extended_once(short: Trainer, extended: Path) -> None:
    seeds = extension.stored([extended / "seed_0", extended / "seed_1", extended / "seed_2"])
    assert [(s.step, s.finished) for s in seeds] == [(11, True), (6, True)]
    # Killed between the seeds: the same command, and a plain start, bring the second along.
    assert extension.extended(short.config, seeds, 5).train.extensions == (5,)
    assert extension.resumed(short.config, seeds).train.extensions == (5,)
    with pytest.raises(InputError, match="extension by 5 steps is not finished; finish it with"):
        extension.extended(short.config, seeds, 7)
    done = seeds[:1]
    assert extension.extended(short.config, done, 7).train.extensions == (5, 7)
    assert extension.extended(short.config, seeds[1:], 7).train.extensions == (7,)


@pytest.mark.slow
def test_a_repeated_command_goes_on_after_a_kill_and_begins_anew_after_its_end(
    extended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, records = shutil.copytree(extended, tmp_path / "run"), tmp_path / "ledger"
    one = functools.partial(api.mesh.make_mesh, devices=jax.devices()[:1])
    monkeypatch.setattr(api.mesh, "make_mesh", one)

    def extend(steps: int) -> None:
        api.load(run, ledger=records).extend(steps)

    def made() -> list[tuple[int, tuple[int, ...]]]:
        seeds = extension.stored([run / "seed_0", run / "seed_1"])
        return [(s.step, s.extensions) for s in seeds]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    assert made() == [(11, (5,)), (6, ())], "killed between its two seeds"
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            extend(5)
    assert made() == [(11, (5,))] * 2, "and then after its last save"
    with pytest.raises(InputError, match="extension by 5 steps is not finished; finish it with"):
        extend(3)
    extend(5)
    assert made() == [(11, (5,))] * 2, "it has gone on to its end"
    assert [r.config["train.extensions"] for r in ledger.read(records)] == [[5]]
    extend(5)
    assert made() == [(16, (5, 5))] * 2, "the same again is another one"
    extend(3)
    assert made() == [(19, (5, 5, 3))] * 2
    told = [e["text"] for e in events.read(run / "seed_1") if e["code"] == "T8"]
    assert told == [f"seed 1: extended by {t}" for t in (
        "5 steps, from 6 to 11", "5 steps, from 11 to 16", "3 steps, from 16 to 19")]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "changes", "message"),
    [
        (0, {}, "--extend=0: expected a number of further steps, at least 1"),
        (5, {"model.width": 32}, "another config:\n  model.width: was 16, now 32"),
        (5, {"train.steps": 9}, r"train.steps: was 6, now 9\n.*--extend=STEPS to train it further"),
    ],
)
def test_what_is_no_extension_is_refused(
    short: Trainer, extended: Path, steps: int, changes: dict, message: str
) -> None:
    seeds = extension.stored([extended / "seed_1"])
    with pytest.raises(InputError, match=message):
        extension.extended(short.config.override(changes), seeds, steps)


def test_an_update_is_not_extended(short: Trainer, extended: Path) -> None:
    (seed,) = extension.stored([extended / "seed_1"])
    info = dataclasses.replace(seed.info, parent="runs/a/seed_1@6")
    with pytest.raises(InputError, match="was fine-tuned from runs/a/seed_1@6, and only"):
        extension.extended(short.config, [dataclasses.replace(seed, info=info)], 5)
