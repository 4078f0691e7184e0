"""Item 2: the step's peak of memory beside the plan's, the largest model, and what one beyond it
says."""

import json
from pathlib import Path

import jax

from fusionjax.train.plan import state_bytes
from gpu_items.bench import NEEDS_GPU, Bench
from gpu_items.configs import large
from gpu_items.steps import Steps, out_of_memory

_STEPS = 3


def measure(bench: Bench) -> None:
    """As docs/gpu.md says; the peak of a process never falls, so the smallest model is first."""
    base = large(bench)
    steps = Steps(base)
    for _ in range(_STEPS):
        steps.run(1)
    compiled = bench.figure(
        "h100_1: peak that this device's compiler plans", steps.planned_peak / 1e9, "GB"
    )
    device = jax.devices()[0].memory_stats()
    if device is None:
        bench.missing("h100_1: plan, peak of the device, largest model", NEEDS_GPU)
        return
    peak = bench.figure("h100_1: peak of the device", device["peak_bytes_in_use"] / 1e9, "GB")
    _ratio(bench, "this compiler's", peak, compiled)
    del steps
    free = device["bytes_limit"] / 1e9
    bench.figure("memory that JAX may take", free, "GB")
    _largest(bench, free, compiled)
    bench.launch("plan", "h100_1")  # on the same JAX, but without the GPU
    planned = json.loads(Path("runs/h100_1/plan_1.json").read_text())["peak"]
    _ratio(bench, "fusionjax plan's", peak, planned / 1e9)


def _ratio(bench: Bench, whose: str, peak: float, planned: float) -> None:
    note = f"{planned:.2f} GB"
    bench.figure(
        f"h100_1: peak over {whose}", peak / planned, "", at_least=0.95, at_most=1.05, note=note
    )


def _largest(bench: Bench, free: float, compiled: float) -> None:
    """Most layers of h100_1, from the compiler's peaks: linear in them, as layers are scanned."""
    layers = large(bench).model.layers
    state = [state_bytes(large(bench, model__layers=n)) / 1e9 for n in (layers, layers + 1)]
    beyond = layers + int((free - compiled) / (state[1] - state[0]))  # activations come on top
    peak = _tried(bench, beyond)
    a_layer = (peak - compiled) / (beyond - layers)
    most = layers + int((0.98 * free - compiled) / a_layer)
    if most < beyond:
        _tried(bench, most)


def _tried(bench: Bench, layers: int) -> float:
    """Runs a step of so many layers, or tells what the error says; the compiler's peak, GB."""
    title, steps = f"h100_1 with {layers} layers", Steps(large(bench, model__layers=layers))
    peak = bench.figure(f"{title}: peak by the compiler", steps.planned_peak / 1e9, "GB")
    try:
        steps.run(1)
    except jax.errors.JaxRuntimeError as e:
        if not out_of_memory(e):
            raise
        bench.note(f"{title}: does not fit", str(e).strip().splitlines()[0][:300])
    else:
        bench.note(f"{title}: runs", "one step")
    return peak
