"""Flags of XLA and NCCL, each with its reason and its source."""

import dataclasses
import os
from collections.abc import MutableMapping


@dataclasses.dataclass(frozen=True)
class Flag:
    """One setting; ``name`` as XLA's DebugOptions or NCCL's environment spell it."""

    name: str
    value: bool | int | str
    reason: str
    source: str


_GUIDE = "docs.jax.dev, GPU performance tips"
_XLA = "openxla/xla, debug_options_flags.cc"
_NCCL = "docs.nvidia.com, NCCL user guide, environment variables"

# Given to the compiler with the step, not through XLA_FLAGS: an unknown name is then an error with
# a message, where in the environment it aborts the process.
XLA_GPU: tuple[Flag, ...] = (
    Flag(
        "xla_gpu_enable_latency_hiding_scheduler",
        True,
        "starts a layer's gathers while the layer before is computed",
        _GUIDE,
    ),
)
# Flags of the runtime, which reads XLA_FLAGS only.
XLA_GPU_PROCESS: tuple[Flag, ...] = (
    Flag(
        "xla_gpu_nccl_terminate_on_error",
        True,
        "an error of a collective, such as a lost peer, ends the process at once",
        _XLA,
    ),
)
JAX: tuple[Flag, ...] = (
    Flag(
        "XLA_CLIENT_MEM_FRACTION",
        "0.92",
        "of a device's memory; the default of three quarters is less than a plan may use",
        "docs.jax.dev, GPU memory allocation",
    ),
)
NCCL: tuple[Flag, ...] = (
    Flag("NCCL_DEBUG", "WARN", "a call that fails says why in the log", _NCCL),
)


def set_for_process(environment: MutableMapping[str, str]) -> None:
    """Sets what runs of several processes on GPUs need, unless it is already set.

    Call it before JAX touches a backend.
    """
    old = "XLA_PYTHON_CLIENT_MEM_FRACTION"  # the former name; JAX refuses both at once
    for flag in (*(() if old in environment else JAX), *NCCL):
        environment.setdefault(flag.name, str(flag.value))
    given = environment.get("XLA_FLAGS", "")
    ours = [f"--{f.name}={str(f.value).lower()}" for f in XLA_GPU_PROCESS if f.name not in given]
    environment["XLA_FLAGS"] = " ".join([*ours, given]).strip()


def compiler_options(platform: str) -> dict[str, bool | int | str]:
    """The compiler options of a platform of JAX."""
    if platform == "gpu":
        return {flag.name: flag.value for flag in XLA_GPU}
    # On CPU the highest optimisation level costs seconds and speeds up nothing here. Options would
    # override XLA_FLAGS, so it is left out if they set it.
    level = "xla_backend_optimization_level"
    return {} if level in os.environ.get("XLA_FLAGS", "") else {level: 1}
