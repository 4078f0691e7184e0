"""What machine this is: card, driver, versions. Reads; changes nothing."""

import json
import os
import platform
import shutil
import subprocess
from importlib import metadata

import jax

from gpu_items.bench import Bench

_PACKAGES = (
    *("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "nvidia-cudnn-cu12"),
    *("nvidia-cudnn-cu13", "flax", "optax", "orbax-checkpoint", "numpy", "torch"),
)


def measure(bench: Bench) -> None:
    """Writes one line for the head of the report."""
    device = jax.devices()[0]
    memory = device.memory_stats() or {}
    facts = {
        "platform": device.platform,
        "card": device.device_kind,
        "devices": len(jax.devices()),
        "memory": memory.get("bytes_limit"),
        "driver": _smi("driver_version"),
        "clocks": _smi("clocks.sm,clocks.mem,clocks.max.sm,power.limit"),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES if _version(name)},
    }
    bench.figures.write_text(json.dumps(facts) + "\n")


def _smi(what: str) -> str:
    if not shutil.which("nvidia-smi"):
        return "no nvidia-smi"
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return (ended.stdout or ended.stderr).strip()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
