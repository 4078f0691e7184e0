"""A stream uses nothing before it is known; its two-sided adapter maps there and back."""

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import tiny_market
from parents import MESH, TRAIN, config, telling, trained

from fusionjax.adapt import promotion
from fusionjax.config import MeshConfig
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.evaluate.inference import seed_folders
from fusionjax.experts import stacked
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.inference_fns import make_predict
from fusionjax.train.run import make_program
from studies.streams import double_adapt
from studies.streams.stream import Stream


@pytest.fixture(scope="module")
def market() -> Market:
    return telling(tiny_market(days=300, symbols=("AA", "BB", "CC", "DD")))


@pytest.fixture(scope="module")
def parent(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(market, config(), tmp_path_factory.mktemp("parent"))


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["incremental + replay + gate", "two-sided adapter", "retrain"])
def test_what_comes_later_changes_no_forecast(market: Market, parent: Path, rule: str) -> None:
    c = config(finetune__update_interval=10, finetune__retrain_interval=20, train__steps=20)
    whole = Stream(market, c, MESH, parent)
    said = whole.run(rule, seed_folders(parent)[0])
    cut = whole.sessions[34]
    later = market.session > cut
    changed = dataclasses.replace(
        market,
        adj_close=np.where(later, market.adj_close[::-1], market.adj_close),
        channels=np.where(later[:, None], market.channels[::-1], market.channels),
    )
    other = Stream(changed, c, MESH, parent).run(rule, seed_folders(parent)[0])
    before = market.session[whole.samples.row] <= cut
    np.testing.assert_array_equal(
        said.prediction.value["direction"][before], other.prediction.value["direction"][before]
    )
    assert (
        said.prediction.value["direction"][~before] != other.prediction.value["direction"][~before]
    ).any()
    assert said.updates >= 2
    assert said.flops > 0


@pytest.mark.slow
def test_updates_follow_a_change_that_a_fixed_model_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # That of ten sessions the gate judges nothing has a test of its own.
    monkeypatch.setattr(promotion, "judge", lambda *_: (True, "promoted"))
    turned = telling(tiny_market(days=300, symbols=("AA", "BB", "CC", "DD")), "2020-08-20")
    c = config(
        finetune__update_interval=5,
        finetune__steps=12,
        finetune__learning_rate=1e-2,
        finetune__promotion_sessions=10,
    )
    folder = trained(turned, c, tmp_path / "run")
    stream = Stream(turned, c, MESH, folder)
    late = stream.samples.target_day > np.datetime64("2020-10-01")

    def right(rule: str) -> float:
        lived = stream.cached(rule, seed_folders(folder)[0], tmp_path / "kept")
        known = late & stream.samples.targets.mask["direction"][:, 0]
        rose = stream.samples.targets.label["direction"][known, 0] == 1
        return float(((lived.prediction.value["direction"][known, 0] > 0.5) == rose).mean())

    assert right("never update") < 0.3
    assert right("incremental") > 0.8
    # Half of what it sees is replayed from before the change, and the gate's ten sessions wait.
    assert right("incremental + replay + gate") > right("never update") + 0.1
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "kept").iterdir()}
    assert right("incremental") > 0.8
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "kept").iterdir()} == files


@pytest.fixture(scope="module")
def stacked_parent(market: Market, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stream, Path]:
    """A stream whose parent starts from an expert."""
    folder = tmp_path_factory.mktemp("stacked")
    c = config(
        model__fusion="distilled",
        distill__experts=("Log-HAR with the market",),
        data__prepared=str(folder),
        train__steps=4,
        distill__initial_update_steps=1,
        finetune__steps=1,
        finetune__update_interval=30,
    )
    return Stream(market, c, MESH, trained(market, c, folder / "run")), folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["incremental", "two-sided adapter"])
def test_an_update_fits_the_experts_again(
    stacked_parent: tuple[Stream, Path], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``launch/finetune.py`` does, for the rows after it."""
    stream, folder = stacked_parent
    assert stream.windows.stack is not None
    fits = stream.windows.stack.experts.until.tolist()
    served, fit = [], stacked.updated
    monkeypatch.setattr(stacked, "updated", lambda *given: served.append(fit(*given)) or served[-1])
    stream.run(rule, seed_folders(folder)[0])
    updates = [stream.sessions[i].tolist() for i in range(30, len(stream.sessions), 30)]
    assert len(updates) >= 2
    for i, windows in enumerate(served, 1):
        assert windows.stack.experts.until.tolist() == fits + updates[:i]


def test_a_stream_may_not_begin_before_its_parents_labels_end(market: Market, parent: Path) -> None:
    with pytest.raises(InputError, match="is forecast from .* on, but .* knew labels until"):
        Stream(market, config(finetune__split="train"), MESH, parent)


def test_fresh_maps_change_nothing_and_a_learned_offset_is_undone(
    market: Market, parent: Path
) -> None:
    c = config()
    windows = Windows(market, c, Scaler.fit(market, np.datetime64(TRAIN[1])))
    asked = samples.split(market, c, "live").take(np.arange(64))
    batch = windows(asked.row, asked.targets, np.ones(64, np.float32))
    program = make_program(c, MESH, windows)
    with Checkpoints(parent / "seed_0") as checkpoints:
        params = checkpoints.averaged(program.abstract_state.ema_params)
    meta = jax.jit(functools.partial(double_adapt.fresh, c))(params, batch)
    _, _, forecast = double_adapt.make_task(c)
    plain = jax.device_get(jax.jit(make_predict(c))(params, batch))
    mapped = jax.jit(forecast)(params, meta.adapter, batch)
    for x, y in zip(jax.tree.leaves(plain.outcome), jax.tree.leaves(mapped.outcome), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)
    scale, offset = (np.full((8, 3), x, np.float32) for x in (0.3, 0.7))
    moved = dataclasses.replace(meta.adapter, scale=scale, offset=offset)
    labels = jax.jit(lambda t: double_adapt.hard(t, c.targets))(batch.targets)
    there = jax.jit(double_adapt.adapted_labels)(moved, batch, labels)
    said = plain.outcome | {
        "returns": np.repeat(np.asarray(there["returns"])[..., None], 5, -1),
        "volatility": there["volatility"],
    }
    back = jax.jit(double_adapt.restored)(moved, batch, said)
    np.testing.assert_allclose(back["returns"][..., 0], labels["returns"], atol=1e-6)
    np.testing.assert_allclose(back["volatility"], labels["volatility"], rtol=1e-5)


@pytest.mark.nightly
def test_tasks_are_the_same_on_any_mesh_and_learn_over_tasks(market: Market, parent: Path) -> None:
    c = config(train__global_batch_size=64)
    windows = Windows(market, c, Scaler.fit(market, np.datetime64(TRAIN[1])))
    asked = samples.split(market, c, "train")
    batches = [
        windows(part.row, part.targets, np.ones(64, np.float32))
        for part in (asked.take(np.arange(i, i + 64)) for i in (0, 64))
    ]
    losses = {}
    for name, mesh in (("one", MESH), ("eight", make_mesh(MeshConfig(2, 2, 2), jax.devices()[:8]))):
        program = make_program(c, mesh, windows)
        with Checkpoints(parent / "seed_0") as checkpoints:
            params = checkpoints.averaged(program.abstract_state.ema_params)
        tasks = double_adapt.Tasks(c, mesh, params, batches[0])
        meta = tasks.start(params)
        seen = []
        for _ in range(12):
            meta, loss = tasks.meta_step(meta, *batches)
            seen.append(float(loss))
        losses[name] = seen
    np.testing.assert_allclose(losses["one"], losses["eight"], rtol=2e-3)
    assert losses["one"][-1] < losses["one"][0]
