"""Item 7: does the host keep the GPU busy? The pipeline beside the step, and a run's goodput."""

import json
import time
from pathlib import Path

import jax

from benchmarks.measures import cost
from fusionjax.config import resolve
from fusionjax.configs import h100_1
from fusionjax.parallel.mesh import make_mesh
from fusionjax.telemetry import progress_bar
from gpu_items.bench import Bench
from gpu_items.configs import as_flags, large, market

GOODPUT = 0.98
_RUN, _SPARE = 300.0, 40.0  # seconds of the run; and for its start and its last checkpoint
_START = ("init", "compile", "restore")  # buckets of goodput that a long run pays once


def measure(bench: Bench) -> None:
    """On the planted market's real records."""
    if not (bench.kit / "market/bars.parquet").exists():
        bench.missing("feeding", f"no market in {bench.kit.name}: make gpu-kit")
        return
    _goodput(bench)  # in a process of its own, while this one has not taken the GPU's memory
    config = large(bench)
    with progress_bar() as progress:
        result = cost.feeding(config, make_mesh(config.mesh, jax.devices()[:1]), 2, progress)
    (row,) = result.rows
    rows = config.train.global_batch_size
    bench.figure("samples that one thread reads", rows / row.ours, "1/s")
    bench.figure("samples that the step takes", rows / row.theirs, "1/s")
    bench.figure(
        "a batch's assembly over its step", row.ratio, "", at_most=1.0, note="above 1 the GPU waits"
    )


def _goodput(bench: Bench) -> None:
    changes = market(bench, resolve(h100_1.get_config())) | {
        "train.steps": 100_000,
        "train.checkpoint_every": 100_000,
        "train.keep_checkpoints": 1,
        "train.log_every": 10,
        "distill.warmup_steps": 60,
    }
    seconds = 5.0 if bench.rehearse else min(_RUN, bench.left - 3 * _SPARE)
    log, started = Path("runs/busy/seed_0/metrics.jsonl"), list[float]()

    def enough() -> bool:
        """So long after the first row of the log: compilation does not count."""
        if not started and log.exists() and log.stat().st_size:
            started.append(time.monotonic())
        return bool(started) and time.monotonic() - started[0] >= seconds

    bench.launch(
        "train", "h100_1", *as_flags(changes), "--workdir=runs/busy", status=(75,), until=enough
    )
    row = json.loads((log.parent / "goodput.json").read_text())
    spent = row["seconds"]
    lasting = sum(s for name, s in spent.items() if name not in _START)
    title = f"a run of {seconds:.0f} s"
    bench.figure(
        f"{title}: goodput once it has started",
        spent["step"] / lasting,
        "",
        at_least=GOODPUT,
        note=f"{row['step']} steps; without {', '.join(_START)}",
    )
    bench.figure(f"{title}: goodput, all of it", row["goodput"], "")
    bench.figure(f"{title}: waiting for data", spent["data"] / lasting, "of the time")
