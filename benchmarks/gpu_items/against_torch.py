"""Item 4: an update of our encoder and fusion beside PyTorch's, on one card in one run.

Two processes, one after the other, so that each has the card's memory for itself. First both give
the same outputs for the same parameters; then each is timed in bfloat16: forward, backward,
clipping, AdamW and the average of the parameters. PyTorch's has no guard, no masks and a simpler
loss, so it does a little less.
"""

import dataclasses
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from gpu_items.bench import Bench

_EXCHANGE, _RESULT = Path("exchange.npz"), Path("theirs.json")
_ROWS = 2  # of the comparison of outputs
GOAL = 1.15


def measure(bench: Bench) -> None:
    """Ours, then theirs, if torch is here."""
    has_torch = importlib.util.find_spec("torch") is not None
    sides = ("ours", "theirs") if has_torch else ("ours",)
    for side in sides:
        how = "rehearse" if bench.rehearse else "measure"
        command = [sys.executable, "-m", "gpu_items.against_torch", side, how]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise RuntimeError(f"{side}: {ended.stderr.strip().splitlines()[-1]}")
        if side == "ours":
            ours = json.loads(Path("ours.json").read_text())
            rates = [ours["rows"] / s for s in ours["seconds"]]
            rate = bench.figure("JAX: samples", rates, "1/s")
            if ours["peak"]:
                bench.figure("JAX: peak memory", ours["peak"] / 1e9, "GB")
    if not has_torch:
        bench.missing("PyTorch", "not run: torch is missing")
        return
    theirs = json.loads(_RESULT.read_text())
    bench.claim(
        "both have the same parameters",
        theirs["parameters"] == ours["parameters"],
        f"{ours['parameters']:,} and {theirs['parameters']:,}",
    )
    bench.figure("outputs apart, float32", theirs["exact"], "of their norm")
    bench.figure("outputs apart, theirs in bfloat16", theirs["half"], "of their norm")
    bench.claim("both compute the same", theirs["exact"] < 1e-3 and theirs["half"] < 0.05)
    other = bench.figure(
        f"torch.compile: samples, {theirs['attention']}",
        [theirs["rows"] / s for s in theirs["seconds"]],
        "1/s",
    )
    if theirs["peak"]:
        bench.figure("torch.compile: peak memory", theirs["peak"] / 1e9, "GB")
    bench.figure("JAX over torch.compile, samples a second", rate / other, "", at_least=GOAL)


def _config(rehearse: bool) -> Any:
    """Two series: h100_1's prices, a token a session, and a shorter one."""
    from ml_collections import ConfigDict

    from fusionjax.config import resolve
    from fusionjax.configs import h100_1

    c = h100_1.get_config()
    long, short = (64, 16) if rehearse else (4096, 512)
    channels = tuple(f"channel_{i}" for i in range(8))
    with c.unlocked():
        c.modalities = ConfigDict(
            {
                name: {"kind": "numeric", "sessions": n, "patch": 1, "channels": channels}
                for name, n in (("a", long), ("b", short))
            }
        )
    c.model.fusion, c.model.dropout, c.train.modality_dropout = "equal", 0.0, 0.0
    c.train.grad_accum_steps, c.train.global_batch_size = 1, 2 if rehearse else 16
    if rehearse:
        c.model.width, c.model.layers, c.model.heads, c.model.attention_window = 32, 2, 4, 8
    return resolve(c)


def _ours(bench: Bench) -> None:
    import jax
    import jax.numpy as jnp

    from fusionjax.models.forecaster import Forecaster
    from fusionjax.parallel.rules import path_name
    from gpu_items.steps import Steps, random_batch

    config = _config(bench.rehearse)
    steps = Steps(config)
    seconds = steps.timed(bench)
    memory = jax.devices()[0].memory_stats() or {}
    exact = config.override({"model.compute_dtype": "float32"})
    leaves, tree = jax.tree.flatten(steps.state.params)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    # Readouts start at zero, where all outputs are alike.
    moved = [x + 0.02 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    params = jax.tree.unflatten(tree, moved)
    batch, model = random_batch(config, _ROWS, 2), Forecaster(exact)

    def outputs(params: Any, batch: Any) -> jax.Array:
        encoded = model.apply({"params": params}, batch, method="encode")
        fused: Any = model.apply({"params": params}, encoded, method="fuse")
        return fused.outputs

    with jax.default_matmul_precision("highest"):
        expected = jax.jit(outputs)(params, jax.tree.map(jnp.asarray, batch))
    by_name = {path_name(p): np.asarray(x) for p, x in jax.tree_util.tree_leaves_with_path(params)}
    count = sum(x.size for name, x in by_name.items() if name != "typical_log_scale")
    arrays: dict[str, Any] = {f"input {name}": np.asarray(x.x) for name, x in batch.inputs.items()}
    arrays |= {"outputs": np.asarray(expected)} | by_name
    np.savez(_EXCHANGE, **arrays)
    row = {"seconds": seconds, "rows": config.train.global_batch_size, "parameters": count}
    Path("ours.json").write_text(json.dumps(row | {"peak": memory.get("peak_bytes_in_use")}))


def _theirs(bench: Bench) -> None:
    import torch

    from gpu_items.torch_model import Forecaster, Shape, copy_parameters

    c = _config(bench.rehearse)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with np.load(_EXCHANGE, allow_pickle=False) as f:
        stored = {name: torch.tensor(f[name], device=device) for name in f.files}
    expected = stored.pop("outputs")
    series = [stored.pop(f"input {name}") for name in c.modalities]
    sessions = [m.sessions for m in c.modalities.values()]
    shape = Shape(**{f.name: getattr(c.model, f.name) for f in dataclasses.fields(Shape)})
    model = Forecaster(sessions, series[0].shape[-1], shape, expected.shape[-1]).to(device)
    copy_parameters(model, stored)
    attentions = model.attentions(device)

    def distance(outputs: Any) -> float:
        return float((outputs.float() - expected).norm() / expected.norm())

    with torch.no_grad():
        exact = distance(model(series, model.attentions(device, dense=True)))
        # The compiler takes minutes on a CPU; what it makes of the kernels is not rehearsed.
        model.compile(backend="aot_eager" if bench.rehearse else "inductor")
        with torch.autocast(device.type, torch.bfloat16):
            half = distance(model(series, attentions))
    rows = c.train.global_batch_size
    inputs = [torch.randn(rows, n, series[0].shape[-1], device=device) for n in sessions]
    target = torch.randn(rows, expected.shape[-1], device=device)
    update = _update(model, attentions, inputs, target)
    seconds = _clocked(update, bench, device)
    cuda = device.type == "cuda"
    row = {
        "seconds": seconds,
        "rows": rows,
        "exact": exact,
        "half": half,
        "parameters": sum(p.numel() for p in model.parameters()),
        "attention": "FlexAttention" if cuda else "dense attention",
        "peak": torch.cuda.max_memory_allocated() if cuda else None,
    }
    _RESULT.write_text(json.dumps(row))


def _update(model: Any, attentions: Any, inputs: Any, target: Any) -> Any:
    """One update in bfloat16 with float32 parameters, as ours."""
    import torch

    device, parameters = target.device.type, list(model.parameters())
    averaged = [p.detach().clone() for p in parameters]
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.05, fused=device == "cuda")

    def update() -> None:
        with torch.autocast(device, torch.bfloat16):
            outputs = model(inputs, attentions)
        loss = (outputs.float() - target).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(averaged, parameters, 1e-3)

    return update


def _clocked(update: Any, bench: Bench, device: Any) -> list[float]:
    """Seconds an update, of each repeat of a block."""
    import torch

    block, seconds = 1 if bench.rehearse else 4, []
    for n in range(bench.repeats() + 1):
        started = time.perf_counter()
        for _ in range(block):
            update()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if n:  # the first compiles
            seconds.append((time.perf_counter() - started) / block)
    return seconds


if __name__ == "__main__":
    side = {"ours": _ours, "theirs": _theirs}[sys.argv[1]]
    side(Bench(sys.argv[2] == "rehearse", Path("unused"), Path("unused"), 0.0))
