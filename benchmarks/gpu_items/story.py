"""Item 1: the commands of a user, on configs/h100_1.py and a planted market, and the demo."""

import json
from pathlib import Path

import numpy as np

from fusionjax.config import resolve
from fusionjax.configs import h100_1
from fusionjax.train.checkpoint import Checkpoints
from gpu_items.bench import NEEDS_GPU, Bench
from gpu_items.configs import as_flags, large, market, small
from gpu_items.steps import Steps

_STEPS, _STOP = 50, 10  # of the training, and after which it is stopped
_DEMO_STEPS, _SAME = 30, 1e-3  # two compilers order float32 sums otherwise


def measure(bench: Bench) -> None:
    """Training, stop and resume bit for bit, evaluation, forecast; the demo beside the CPU's."""
    if (bench.kit / "market/bars.parquet").exists():
        _story(bench)
    else:
        bench.missing("h100_1 on a planted market", f"no market in {bench.kit.name}: make gpu-kit")
    _demo(bench)
    _learns(bench)  # last: from here on this process has the GPU's memory


def _learns(bench: Bench) -> None:
    """On the same rows again and again the loss must fall; 50 steps of a market are noise."""
    config = large(
        bench,
        train__steps=_STEPS,
        train__warmup_steps=5,
        distill__warmup_steps=_STEPS,
        model__dropout=0.0,
        train__modality_dropout=0.0,
    )
    losses = Steps(config).losses(_STEPS)
    bench.claim(
        f"h100_1: the loss on one batch falls in {_STEPS} steps",
        losses[-1] < losses[0],
        f"{losses[0]:.4f} to {losses[-1]:.4f}",
    )


def _story(bench: Bench) -> None:
    config = market(bench, resolve(h100_1.get_config())) | {
        "train.steps": _STEPS,
        "train.log_every": 1,
        "train.checkpoint_every": _STEPS,
        "train.keep_checkpoints": 1,
        "train.warmup_steps": 5,
        "distill.warmup_steps": 4,
    }
    flags = as_flags(config)
    bench.launch("train", "h100_1", *flags, "--workdir=runs/whole")
    losses = _losses(Path("runs/whole"))
    bench.claim(
        "h100_1 trains on the planted market",
        len(losses) == _STEPS and bool(np.isfinite(losses).all()),
        f"loss {np.mean(losses[:10]):.4f} in the first 10 steps, "
        f"{np.mean(losses[-10:]):.4f} in the last 10",
    )
    parts = Path("runs/parts")
    bench.launch(
        "train",
        "h100_1",
        *flags,
        f"--workdir={parts}",
        status=(75,),
        until=lambda: len(_losses(parts)) >= _STOP,
    )
    with Checkpoints(parts / "seed_0") as checkpoints:
        stopped = checkpoints.latest()
    bench.launch("train", "h100_1", *flags, f"--workdir={parts}")
    bench.claim(
        "stopped and resumed, no bit differs",
        _sums(parts) == _sums(Path("runs/whole")),
        f"stopped at step {stopped} of {_STEPS}",
    )
    bench.launch("evaluate", "h100_1", *flags, "--run=runs/whole")
    bench.claim("evaluate writes scores", Path("runs/whole/scores_dev.json").exists())
    day = large(bench).data.splits["dev"][1]
    output = bench.launch(
        "predict",
        "h100_1",
        *flags,
        "--run=runs/whole",
        "--symbol=PLANT",
        f"--at={day}",
        "--out=forecast.json",
    )
    (row,) = json.loads(Path("forecast.json").read_text())
    up = row["direction"]["1d"]["up"]
    bench.claim("predict gives a probability", 0 < up < 1 and "PLANT" in output, f"{up:.4f}")


def _losses(run: Path) -> list[float]:
    log = run / "seed_0/metrics.jsonl"
    if not log.exists():
        return []
    lines = [line for line in log.read_text().split("\n")[:-1] if line]  # the last may be half
    return [json.loads(line)["loss"] for line in lines]


def _sums(run: Path) -> dict[str, int]:
    with Checkpoints(run / "seed_0") as checkpoints:
        return checkpoints.sums()


def _demo(bench: Bench) -> None:
    """The demo's losses here and on the CPU, float32 products exact on both."""
    c = small(bench)
    flags = as_flags(
        {
            "train.steps": _DEMO_STEPS,
            "train.log_every": 1,
            "train.warmup_steps": 5,
            "model.width": c.model.width,
            "model.layers": c.model.layers,
            "train.global_batch_size": c.train.global_batch_size,
        }
    )
    exact = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    bench.launch("train", "demo", *flags, "--workdir=runs/here", environment=exact)
    losses = np.array(_losses(Path("runs/here")))
    bench.claim("demo: losses are finite", len(losses) == _DEMO_STEPS and np.isfinite(losses).all())
    if bench.rehearse:
        bench.missing("demo: losses beside the CPU's", NEEDS_GPU)
        return
    cpu = exact | {"JAX_PLATFORMS": "cpu"}
    bench.launch("train", "demo", *flags, "--workdir=runs/cpu", environment=cpu)
    difference = np.abs(losses / np.array(_losses(Path("runs/cpu"))) - 1)
    bench.figure("demo: losses apart from the CPU's, the most", difference.max(), "", at_most=_SAME)
