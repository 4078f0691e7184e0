"""Numbers that are lost: where, whose fault, taken out, and training goes on."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import price_trainer

from fusionjax.data.pipeline import labelled_batches
from fusionjax.data.windows import Windows
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.train import events, optim, quarantine
from fusionjax.train.goodput import Goodput
from fusionjax.train.hook import TrainingLoop
from fusionjax.train.hooks.guards import Guards
from fusionjax.train.hooks.modality_selection import finite
from fusionjax.train.loop import Preempted
from fusionjax.train.rebound import Rebound
from fusionjax.train.run import Trainer
from fusionjax.types import Batch, Encoded

CHART = {"kind": "chart", "sessions": 8, "height": 20, "patch_height": 10, "patch_sessions": 4}
STEPS, BAD = 12, 7  # the step that breaks


def trainer(prepared: Path, further: dict[str, dict] | None = None, **changes: object) -> Trainer:
    return price_trainer(
        prepared, further,
        **{"train__steps": STEPS, "train__checkpoint_every": 4, "train__log_every": 1,
           "guard__window": 2, "guard__grad_norm_zscore": 0.0}
        | changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sound(prepared: Path) -> Trainer:
    return trainer(prepared)


def drawn(t: Trainer, step: int) -> np.ndarray:
    from fusionjax.train.start import batch_source

    return batch_source(t.config, t.training_data, t.windows)[step].batch.sample_id


def first_seen_at(t: Trainer, step: int, count: int = 1) -> list[int]:
    """Samples of a step's batch that no earlier one has."""
    before = np.concatenate([drawn(t, s) for s in range(step)])
    return [int(r) for r in drawn(t, step) if r not in before][:count]


def planted(
    monkeypatch: pytest.MonkeyPatch, rows: list[int], spoil: Callable[[Batch, np.ndarray], Batch]
) -> None:
    """From now on these samples' content is spoilt wherever they are drawn."""
    build = Windows.__call__

    def spoilt(self: Windows, *args: Any, **named: Any) -> Batch:
        batch = build(self, *args, **named)
        here = np.isin(batch.sample_id, rows)
        return spoil(batch, here) if here.any() else batch

    monkeypatch.setattr(Windows, "__call__", spoilt)


def nan_price(batch: Batch, here: np.ndarray) -> Batch:
    price = batch.inputs["price"]
    x = np.where(here[:, None, None], np.float32(np.nan), price.x)
    return dataclasses.replace(
        batch, inputs={**batch.inputs, "price": dataclasses.replace(price, x=x)}
    )


def codes(folder: Path) -> list[str]:
    return [row["code"] for row in events.read(folder)]


def finding(folder: Path, step: int = BAD) -> dict:
    return json.loads((folder / f"lost/step_{step}/finding.json").read_text())


def all_numbers(tree: Any) -> bool:
    return all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(tree))


def test_a_nan_price_is_found_taken_out_and_training_goes_on(
    sound: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = first_seen_at(sound, BAD, 2)
    planted(monkeypatch, rows, nan_price)
    state = sound.train(0, tmp_path / "run")
    assert int(state.step) == STEPS
    assert all_numbers(state.params)
    assert codes(tmp_path / "run") == ["N1", "N2"]
    found = finding(tmp_path / "run")
    assert found["cause"] == "samples"
    assert sorted(found["samples"]) == sorted(rows)
    assert found["forward"]["module"] == "Forecaster.encode/encoders_price"
    assert found["forward"]["source"].startswith("fusionjax/models/encoders/numeric.py")
    assert found["backward"]["backward"]
    assert "encoders_price/embed/kernel" in found["gradients"]
    assert found["parameters"] == []
    assert found["inputs"] == [f"price/x ({2 * 16 * 5} values)"]
    sample = found["described"][0]
    assert (sample["symbol"], sample["sample_id"]) == ("SPX", found["samples"][0])
    assert "sp500: bars of SPX from" in sample["sources"][0]
    with np.load(tmp_path / f"run/lost/step_{BAD}/feed_0.npz", allow_pickle=False) as dump:
        at = np.isin(dump["batch/sample_id"], rows)
        assert np.isnan(dump["batch/inputs/price/x"][at]).all()
    assert set(quarantine.read(tmp_path / "run")) == set(rows)
    logged = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in logged] == list(range(1, STEPS + 1))
    assert "NaN" not in "".join(logged)


def test_a_restart_after_the_debugger_changes_no_bit(
    sound: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, first_seen_at(sound, BAD), nan_price)
    whole = sound.train(0, tmp_path / "whole")
    for stop in (BAD + 1, BAD + 3):  # at the step that halts, and after it was looked into
        with pytest.raises(Preempted):
            sound.train(0, tmp_path / "parts", lambda done, at=stop: done == at)
    parts = sound.train(0, tmp_path / "parts")
    for x, y in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
    # Killed before a checkpoint holds what came after that: the list is on file.
    import shutil

    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    for step in (8, 12):
        shutil.rmtree(tmp_path / f"killed/checkpoints/{step}")
    killed = sound.train(0, tmp_path / "killed")
    for x, y in zip(jax.tree.leaves(whole), jax.tree.leaves(killed), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.slow
def test_an_infinite_pixel_is_found(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files cannot hold one, as pictures are bytes; a decoder's fault could."""
    rows: list[int] = []
    build = Windows.__call__

    def with_floats(self: Windows, *args: Any, **named: Any) -> Batch:
        batch = build(self, *args, **named)
        pixels = batch.inputs["chart"].pixels.astype(np.float32)
        pixels[np.isin(batch.sample_id, rows), 3, 4] = np.inf
        chart = dataclasses.replace(batch.inputs["chart"], pixels=pixels)
        return dataclasses.replace(batch, inputs={**batch.inputs, "chart": chart})

    monkeypatch.setattr(Windows, "__call__", with_floats)
    t = trainer(prepared, {"chart": CHART})
    rows += first_seen_at(t, BAD)
    assert all_numbers(t.train(0, tmp_path / "run").params)
    found = finding(tmp_path / "run")
    assert found["samples"] == rows
    assert "encoders_chart" in found["forward"]["module"]
    assert found["inputs"] == ["chart/pixels (1 value)"]


@pytest.mark.parametrize(
    "kind", ["log of a negative", pytest.param("division by zero", marks=pytest.mark.slow)]
)
def test_a_head_that_breaks_on_a_sample_is_named(
    kind: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample's content is all numbers; what the head makes of it is not."""
    from fusionjax.train import loss

    decode = loss.decode

    def broken(outputs: Any, log_scale: Any, *given: Any) -> Any:
        marked = (log_scale > 50).astype(jnp.float32)[:, None]
        outcome = decode(outputs, log_scale, *given)
        bad = jnp.log(1 - 2 * marked) if kind == "log of a negative" else 1 / (1 - marked) - 1
        return outcome | {"volatility": outcome["volatility"] + bad}

    monkeypatch.setattr(loss, "decode", broken)
    t = trainer(prepared)
    rows = first_seen_at(t, BAD)

    def mark(batch: Batch, here: np.ndarray) -> Batch:
        scale = np.where(here, np.float32(60), batch.log_scale)
        return dataclasses.replace(batch, log_scale=scale)

    planted(monkeypatch, rows, mark)
    t.train(0, tmp_path / "run")
    found = finding(tmp_path / "run")
    assert found["samples"] == rows
    assert found["inputs"] == []
    assert found["forward"]["operation"] == ("log" if kind == "log of a negative" else "div")
    assert "test_nonfinite.py" in found["forward"]["source"]


@pytest.mark.slow
def test_an_exploding_learning_rate_is_the_models_and_goes_back(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = optim.schedule
    monkeypatch.setattr(
        optim, "schedule",
        lambda c: lambda step: jnp.where(step == BAD - 1, 1e30, schedule(c)(step)),
    )  # fmt: skip
    t = trainer(prepared)
    state = t.train(0, tmp_path / "run")
    assert int(state.step) == STEPS
    assert all_numbers(state.params)
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(state.params)) < 1e3
    assert float(state.guard.rate) == 0.5
    assert codes(tmp_path / "run") == ["N1", "N4"]
    assert finding(tmp_path / "run")["cause"] == "model"
    assert quarantine.read(tmp_path / "run") == {}
    # Without a best state there is nothing to go back to, and nothing is overwritten.
    early = trainer(prepared, guard__window=40)
    with pytest.raises(InputError, match="training cannot go on: step 7 is non-finite") as e:
        early.train(0, tmp_path / "early")
    assert "Lower train.learning_rate" in str(e.value)
    assert sorted(p.name for p in (tmp_path / "early/checkpoints").iterdir()) == ["4"]


@pytest.mark.slow
def test_the_move_of_the_fusions_weights_is_looked_into_as_it_was_made(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the parameters that the same step has just made."""
    learning = {"model__fusion": "distilled", "distill__warmup_steps": 2, "guard__window": 4}
    t = trainer(prepared, **learning)
    due = max(
        s for s in range(weights.elimination_step(t.config)) if weights.is_update_step(t.config, s)
    )
    schedule = optim.schedule
    monkeypatch.setattr(
        optim, "schedule",
        lambda c: lambda step: jnp.where(step == due, 1e30, schedule(c)(step)),
    )  # fmt: skip
    t = trainer(prepared, **learning, guard__max_rollbacks=0)
    with pytest.raises(InputError, match=f"training cannot go on: step {due} is non-finite"):
        t.train(0, tmp_path / "run")
    assert "N3" not in codes(tmp_path / "run")
    assert finding(tmp_path / "run", due)["cause"] == "model", "not the machine's, nor a sample's"


def test_a_head_that_breaks_on_everything_from_the_start_is_named(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fusionjax.train import loss

    decode = loss.decode

    def broken(*given: Any) -> Any:
        outcome = decode(*given)
        bad = jnp.log(-jnp.exp(outcome["volatility"]))
        return outcome | {"volatility": bad}

    monkeypatch.setattr(loss, "decode", broken)
    with pytest.raises(InputError, match="step 0 is non-finite: in the forward pass"):
        trainer(prepared).train(0, tmp_path / "run")
    found = finding(tmp_path / "run", 0)
    assert (found["cause"], found["forward"]["operation"]) == ("model", "log")
    assert "test_nonfinite.py" in found["forward"]["source"]


def allowing(count: int, t: Trainer) -> Trainer:
    """The same program, where so many samples may be taken out."""
    return dataclasses.replace(t, config=t.config.override({"guard.max_quarantined": count}))


def test_more_spoilt_samples_than_may_be_taken_out_are_not_the_models_fault(
    sound: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    t = allowing(4, sound)
    rows = first_seen_at(t, BAD, 9)
    planted(monkeypatch, rows, nan_price)
    with pytest.raises(
        InputError, match="9 samples would be excluded, guard.max_quarantined allows 4"
    ):
        t.train(0, tmp_path / "run")
    found = finding(tmp_path / "run")
    assert (found["cause"], sorted(found["samples"])) == ("samples", sorted(rows))
    assert found["inputs"][0].startswith("price/x")


def test_a_number_lost_by_chance_is_told_and_nobody_is_blamed(
    sound: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = sound.program.step, []

    def struck(state: Any, step_inputs: Any, *args: Any) -> Any:
        calls.append(int(state.step))
        if calls.count(BAD) == 1 and calls[-1] == BAD:  # a cosmic ray, once
            step_inputs = dataclasses.replace(
                step_inputs, batch=nan_price(step_inputs.batch, np.ones(64, bool))
            )
        return step(state, step_inputs, *args)

    plain = sound.train(0, tmp_path / "plain")
    monkeypatch.setattr(sound.program, "step", struck)
    state = sound.train(0, tmp_path / "run")
    assert codes(tmp_path / "run") == ["N1", "N3"]
    for x, y in zip(jax.tree.leaves(plain), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_too_many_broken_samples_are_refused_by_name(
    sound: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    t = allowing(1, sound)
    planted(monkeypatch, first_seen_at(t, BAD, 1), nan_price)
    t.train(0, tmp_path / "one")
    planted(monkeypatch, first_seen_at(t, BAD + 2, 1), nan_price)
    with pytest.raises(
        InputError, match="2 samples would be excluded, guard.max_quarantined allows 1"
    ):
        t.train(0, tmp_path / "two")


def test_who_gives_no_number_is_not_asked_what_modalities_are_worth(sound: Trainer) -> None:
    """One such sample would make every answer non-finite, and nothing would ever be dropped."""
    batch = next(labelled_batches(sound.training_data.all.take(np.arange(6)), sound.windows, 6))
    h = np.ones((6, 2, 4), np.float32)
    h[4, 1, 2] = np.inf
    encoded = Encoded(h, np.ones((6, 2), bool), h[..., 0], h[:, 0, 0])
    (kept, rows), broken = finite((encoded, batch))
    assert broken.tolist() == [False] * 4 + [True, False]
    assert len(kept.h) == len(rows.weight) == 5
    np.testing.assert_array_equal(rows.sample_id, batch.sample_id[~broken])


def test_what_was_skipped_before_a_restart_is_not_told_again(
    sound: Trainer, tmp_path: Path
) -> None:
    from fusionjax.train.start import batch_source

    t = sound
    source, state = batch_source(t.config, t.training_data, t.windows), t.program.init(0)
    loop = TrainingLoop(t, t.training_data, source, state, Goodput(tmp_path), tmp_path)
    for skipped, told in ((0, 0), (3, 1), (3, 1), (4, 2)):  # each by a process of its own
        rebound = Rebound(t.config.guard, t.program.abstract_state, [], None)
        started = Guards(rebound, quarantine.Exclusions(tmp_path))
        started.opened(loop)
        loop.logged = {"halted": 0.0, "skipped": float(skipped)}
        started.after_step(loop, {})
        assert codes(tmp_path) == ["G1"] * told
    assert events.read(tmp_path)[-1]["text"].startswith("1 update(s) skipped")
