"""The mesh: axes data × fsdp × tensor, the same names on one CPU and on 64 H100s."""

import math
from collections.abc import Sequence

import jax
from jax.sharding import AxisType, Mesh

from fusionjax.config import MeshConfig, TrainConfig
from fusionjax.errors import InputError

AXES = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")  # a batch is split over both; its parameters only over fsdp


def use_virtual_cpu_devices(count: int) -> None:
    """Makes this process see ``count`` CPU devices. Must run before JAX touches a backend."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", count)


def device_count(mesh: MeshConfig) -> int | None:
    """The number of devices of a mesh; None where an axis is -1."""
    sizes = (mesh.data, mesh.fsdp, mesh.tensor)
    return None if -1 in sizes else math.prod(sizes)


def make_mesh(config: MeshConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh over ``devices``, by default all.

    Raises:
      InputError: the axes do not multiply to the number of devices.
    """
    sizes = [config.data, config.fsdp, config.tensor]
    devices = jax.devices() if devices is None else devices
    available = f"found {len(devices)} {devices[0].platform.upper()} device(s)"
    if any(s < 1 and s != -1 for s in sizes) or sizes.count(-1) > 1:
        raise InputError(
            f"config.mesh is {dict(zip(AXES, sizes, strict=True))}; each axis is at "
            "least 1, and at most one is -1"
        )
    fixed = math.prod(s for s in sizes if s != -1)
    if -1 in sizes and len(devices) % fixed == 0:
        sizes[sizes.index(-1)] = len(devices) // fixed
    if math.prod(sizes) != len(devices):
        asked = " × ".join(f"{a} {s}" for a, s in zip(AXES, sizes, strict=True))
        raise InputError(
            f"config.mesh asks for {asked} = {abs(math.prod(sizes))} devices; {available}. "
            "Run where those devices are, change config.mesh, or rehearse on this machine with "
            "--cpu_mesh"
        )
    return jax.make_mesh(
        tuple(sizes), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices
    )


def axes(mesh: Mesh) -> str:
    """Its axes and their sizes, as text."""
    return " × ".join(f"{name} {size}" for name, size in mesh.shape.items())


def check_batch(train: TrainConfig, mesh: Mesh) -> None:
    """Raises InputError unless every microbatch splits evenly over the mesh's batch axes."""
    parts = math.prod(mesh.shape[a] for a in BATCH_AXES)
    micro = train.global_batch_size // train.grad_accum_steps
    if micro % parts:
        nearest = max(parts, round(micro / parts) * parts) * train.grad_accum_steps
        raise InputError(
            f"config.train: global_batch_size {train.global_batch_size} in "
            f"{train.grad_accum_steps} microbatch(es) gives {micro} rows, which do not "
            f"divide over data {mesh.shape['data']} × fsdp {mesh.shape['fsdp']} = {parts} devices; "
            f"set global_batch_size to {nearest}"
        )
