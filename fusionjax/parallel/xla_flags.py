"""How XLA and NCCL are asked to treat the step: as data, each with its reason and its source."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Flag:
    """One setting; ``name`` as XLA's DebugOptions or NCCL's environment spell it."""

    name: str
    value: bool | int | str
    reason: str
    source: str


_GUIDE = "docs.jax.dev, GPU performance tips"
_NCCL = "docs.nvidia.com, NCCL environment variables"

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
NCCL: tuple[Flag, ...] = (
    Flag("NCCL_ASYNC_ERROR_HANDLING", 1, "a lost peer ends a collective with an error", _NCCL),
)


def compiler_options(platform: str) -> dict[str, bool | int | str]:
    """What the step is compiled with on a platform of JAX."""
    if platform == "gpu":
        return {flag.name: flag.value for flag in XLA_GPU}
    # On CPU the compiler's last optimisation level costs seconds and speeds up nothing here.
    return {"xla_backend_optimization_level": 1}
