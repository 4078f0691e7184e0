"""The same training on 1, 8 and 64 devices; arrays live where the rules say."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import feeds_of, small
from jax.sharding import Mesh, PartitionSpec

from fusionjax.config import Config, MeshConfig, resolve
from fusionjax.configs import demo, h100_64
from fusionjax.data.pipeline import labelled_batches
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.parallel import rules
from fusionjax.parallel.mesh import device_count, make_mesh
from fusionjax.train.run import Trainer

MESHES = {1: MeshConfig(1, 1, 1), 8: MeshConfig(2, 2, 2), 64: MeshConfig(8, 8, 1)}


def mesh_of(count: int) -> Mesh:
    return make_mesh(MESHES[count], jax.devices()[:count])


@pytest.fixture(scope="module")
def config(prepared: Path) -> Config:
    taught = {"model__fusion": "distilled", "distill__warmup_steps": 3}
    return small(demo.get_config(), prepared, train__steps=20, **taught)


@pytest.fixture(scope="module")
def trainers(config: Config) -> dict[int, Trainer]:
    return {n: Trainer.from_config(config, mesh_of(n)) for n in MESHES}


@pytest.mark.slow
def test_twenty_steps_give_the_same_losses_on_1_8_and_64_devices(
    trainers: dict[int, Trainer],
) -> None:
    """From 3 to 13 the fusion's weights learn; on the way it is asked what modalities are worth."""
    losses, worth, weight = {}, {}, {}
    for n, trainer in trainers.items():
        meta = trainer.training_data.meta
        assert meta is not None
        meta = meta.take(np.arange(256))
        everything = np.ones(len(trainer.config.modalities), bool)
        _, session = np.unique(meta.target_day, return_inverse=True)
        state = trainer.program.init(3)
        batch_source = feeds_of(trainer, 3)
        curve = []
        for step in range(20):
            if step == weights.elimination_step(trainer.config):
                asked = labelled_batches(meta, trainer.windows, 64)
                encoded = trainer.program.encode(state.ema_params, asked)
                state, said = trainer.program.eliminate(state, *encoded, session, everything)
                worth[n] = np.stack([said["earned"], said["error"]])
            state, metrics = trainer.program.step(state, next(batch_source), 3)
            curve.append(metrics["loss"])
        losses[n] = np.array(jax.device_get(curve))
        weight[n] = np.array(weights.get(state.params)["modality"])
    assert losses[1][5:].min() < losses[1][0]
    assert (np.abs(weight[1]) > 0.01).all(), "six steps since they were weighed anew"
    for n in (8, 64):
        np.testing.assert_allclose(losses[n], losses[1], atol=1e-5, rtol=0)
        np.testing.assert_allclose(worth[n], worth[1], atol=1e-5, rtol=0)
        np.testing.assert_allclose(weight[n], weight[1], atol=1e-3, rtol=0)


def test_state_is_really_split(trainers: dict[int, Trainer]) -> None:
    state = trainers[64].program.init(0)

    def bytes_on_one_device(tree: object) -> int:
        return sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(tree))

    def is_matrix(path: tuple) -> bool:
        return "kernel" in rules.path_name(path)

    for part in (state.params, state.opt_state, state.ema_params):
        matrices = [x for p, x in jax.tree_util.tree_leaves_with_path(part) if is_matrix(p)]
        total = sum(x.nbytes for x in matrices)
        assert bytes_on_one_device(matrices) == total // 8, "fsdp 8 splits every matrix"
        everything = sum(x.nbytes for x in jax.tree.leaves(part))
        assert bytes_on_one_device(part) < 0.35 * everything


def test_batch_rows_land_on_their_devices(trainers: dict[int, Trainer]) -> None:
    trainer = trainers[64]
    batch = next(feeds_of(trainer, 0)).batch
    placed = rules.to_devices(batch, trainer.program.mesh)
    assert placed.sample_id.sharding.spec == PartitionSpec(("data", "fsdp"))
    for shard in placed.sample_id.addressable_shards:
        np.testing.assert_array_equal(shard.data, batch.sample_id[shard.index])
    assert {s.data.shape for s in placed.inputs["chart"].pixels.addressable_shards} == {
        (1, *batch.inputs["chart"].pixels.shape[1:])
    }
    # Device (d, f) of the mesh holds row 8 d + f.
    grid = trainer.program.mesh.devices[:, :, 0]
    where = {s.device: s.index[0].start for s in placed.sample_id.addressable_shards}
    assert [[where[d] for d in row] for row in grid] == np.arange(64).reshape(8, 8).tolist()


def test_the_cluster_config_maps_8_nodes_of_8() -> None:
    config = resolve(h100_64.get_config())
    assert device_count(config.mesh) == 64
    assert make_mesh(config.mesh).shape == {"data": 8, "fsdp": 8, "tensor": 1}


@pytest.mark.parametrize(
    ("mesh", "devices", "message"),
    [
        (MeshConfig(8, 8, 2), 64, r"data 8 × fsdp 8 × tensor 2 = 128 devices; found 64 CPU"),
        (MeshConfig(8, 8, 1), 1, r"= 64 devices; found 1 CPU device.s.*rehearse .* --cpu_mesh"),
        (MeshConfig(-1, 3, 1), 64, r"found 64 CPU device"),
        (MeshConfig(-1, -1, 1), 64, r"at most one is -1"),
        (MeshConfig(0, 8, 1), 64, r"each axis is at least 1"),
    ],
)
def test_meshes_that_do_not_fit(mesh: MeshConfig, devices: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_mesh(mesh, jax.devices()[:devices])


def test_a_batch_that_does_not_divide_is_refused_with_the_numbers(prepared: Path) -> None:
    config = small(demo.get_config(), prepared, train__global_batch_size=96)
    with pytest.raises(
        InputError,
        match=r"96 in 1 microbatch.*data 8 × fsdp 8 = 64.*set "
        r"global_batch_size to 128",
    ):
        Trainer.from_config(config, mesh_of(64))


def test_a_parameter_that_does_not_divide_is_named(prepared: Path) -> None:
    config = small(demo.get_config(), prepared, model__width=12)
    with pytest.raises(
        InputError,
        match=r"parameter params/\S+ of shape .* does not divide over "
        r"mesh axis fsdp = 8: 12 is no multiple",
    ):
        Trainer.from_config(config, mesh_of(64))


def test_every_matrix_has_a_rule(trainers: dict[int, Trainer]) -> None:
    params = trainers[64].program.abstract_state.params
    whole = [
        rules.path_name(p)
        for p, x in jax.tree_util.tree_leaves_with_path(params)
        if "kernel" in rules.path_name(p) and not any(x.sharding.spec)
    ]
    assert not whole, f"replicated matrices: {whole}"


def test_weights_travel_and_activations_stay(config: Config) -> None:
    """Fully sharded data parallelism: inside the layers no collective moves an activation."""
    trainer = Trainer.from_config(config, make_mesh(MeshConfig(2, 4, 1), jax.devices()[:8]))
    unoptimised = {"xla_backend_optimization_level": 0}  # of what comes after the collectives
    hlo = trainer.program.lowered_step.compile(compiler_options=unoptimised).as_text()
    tokens = 1 + config.modalities["price"].sessions // config.modalities["price"].patch
    moves = [
        line
        for line in hlo.splitlines()
        if re.search(r" (all-reduce|all-gather|all-to-all|reduce-scatter)(-start)?\(", line)
    ]
    assert any(re.search(r"\[(1,)?16,16\]\S* all-gather", m) for m in moves), "weights do move"
    moved = [m.strip()[:120] for m in moves if re.search(rf"\[\d+,{tokens},\d+\]", m.split("=")[1])]
    assert not moved, moved
