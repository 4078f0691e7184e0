"""Checks before the first step, so that a run on a broken cluster fails at once."""

import importlib.metadata
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fusionjax.errors import InputError
from fusionjax.parallel import processes

_VERSIONS = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "fusionjax")
_SKEW_SECONDS = 5.0
_BYTES = 64 * 2**20  # a device, of the exchange that is timed
_ROUNDS = 3


def check(mesh: Mesh, config_json: str, folder: Path, state_bytes: int, kept: int) -> list[str]:
    """Raises if a run must not start; returns lines for the operator.

    Args:
      mesh: of the run.
      config_json: the resolved config; every process must have the same.
      folder: of the run, on a disk that all processes share.
      state_bytes: of a checkpoint.
      kept: checkpoints that are kept; while another is written there is one more.

    Raises:
      InputError: processes differ in versions, config or devices, or the disk is too small.
    """
    processes.require_same("package versions", _versions())
    processes.require_same("config", config_json)
    # Local devices: the mesh's first device is the same one in every process.
    kinds = sorted({d.device_kind for d in jax.local_devices()})
    processes.require_same("device kind", ", ".join(kinds))
    lines = [_disk(folder, state_bytes, kept), *_clock()]
    if processes.count() > 1:
        lines += [f"{processes.count()} processes with {jax.local_device_count()} device(s) each"]
        lines += _rates(mesh)
    return lines


def _versions() -> str:
    versions = [f"python {platform.python_version()}"]
    for name in _VERSIONS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue  # run from a checkout that is not installed
    return ", ".join(versions)


def _disk(folder: Path, state_bytes: int, kept: int) -> str:
    """Refuses a disk without room for the checkpoints that are still to be written."""
    disk = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    taken = sum(p.stat().st_size for p in folder.glob("*/checkpoints/**/*") if p.is_file())
    free, needed = shutil.disk_usage(disk).free, state_bytes * (kept + 1) - taken
    if free < needed:
        raise InputError(
            f"{disk}: {free / 1e9:.1f} GB free; {kept} checkpoints and the one being written need "
            f"{needed / 1e9:.1f} more. Free some, lower config.train.keep_checkpoints, or give "
            "another --workdir"
        )
    return f"disk: {free / 1e9:.0f} GB free in {disk}, a checkpoint has {state_bytes / 1e9:.1f}"


def _clock() -> Iterator[str]:
    """Warns of clocks that differ, as the logs of several nodes could not be compared."""
    skew = processes.clock_skew()
    if skew > _SKEW_SECONDS:
        yield f"clocks are {skew:.0f} s apart: set them (chrony, ntpd), or logs will mislead"


def _rates(mesh: Mesh) -> Iterator[str]:
    """The rate of a sum along each axis of the mesh."""
    count = mesh.size
    for axis, size in mesh.shape.items():
        if size == 1:
            continue
        split = NamedSharding(mesh, PartitionSpec(tuple(mesh.axis_names)))

        def along(x: jax.Array, axis: str = axis) -> jax.Array:
            return jax.lax.psum(x, axis)

        spec = PartitionSpec(tuple(mesh.axis_names))
        total = jax.jit(
            jax.shard_map(along, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
        )
        x = jax.jit(lambda: jnp.ones((count * _BYTES // 4,), jnp.float32), out_shardings=split)()
        jax.block_until_ready(total(x))
        begun = time.perf_counter()
        for _ in range(_ROUNDS):
            x = total(x)
        jax.block_until_ready(x)
        seconds = (time.perf_counter() - begun) / _ROUNDS
        sent = 2 * (size - 1) / size * _BYTES
        yield (
            f"a sum along {axis} ({size} devices) sends {sent / seconds / 1e9:.1f} GB/s a device"
        )
