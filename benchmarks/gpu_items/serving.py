"""Item 9: an update of a run by 40 steps, and forecasts a second."""

import json
import time
from functools import partial
from pathlib import Path

import jax

from fusionjax.config import Config
from fusionjax.data.windows import dummy_batch
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.program import Program
from gpu_items.bench import Bench, timed
from gpu_items.configs import as_flags, large, small
from gpu_items.steps import out_of_memory, random_batch

_BATCH = 512


def measure(bench: Bench) -> None:
    """Commands first, while this process has not taken the GPU's memory."""
    _update(bench)
    for name, config in (("demo", small(bench)), ("h100_1", large(bench))):
        _forecasts(bench, name, config)


def _update(bench: Bench) -> None:
    """Of the demo: the command from its start to the gate's verdict, and its updates alone."""
    c = small(bench)
    flags = as_flags(
        {
            "train.steps": 40,
            "train.warmup_steps": 4,
            "train.log_every": 10,
            "model.width": c.model.width,
            "model.layers": c.model.layers,
            "finetune.steps": 40,
            "train.global_batch_size": c.train.global_batch_size,
        }
    )
    bench.launch("train", "demo", *flags)
    started = time.perf_counter()
    bench.launch("finetune", "demo", *flags, "--from=runs/demo")
    bench.figure(
        "demo: an update of 40 steps, all of the command", time.perf_counter() - started, "s"
    )
    log = Path("runs/demo_finetuned/seed_0/metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in log]
    bench.figure("demo: its updates", [r["steps_per_second"] for r in rows[1:]], "steps/s")


def _forecasts(bench: Bench, name: str, config: Config) -> None:
    """One at a time, batch by batch, each sent to the device and answered before the next."""
    alone = config.override({"train.global_batch_size": 1, "train.grad_accum_steps": 1})
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    program = Program(alone, mesh, dummy_batch(config, 1))
    params = program.init(0).ema_params
    rows = 1
    while rows:
        batch = random_batch(config, rows)
        try:
            seconds = timed(partial(program.predict, params, batch), bench.repeats(10), warm=2)
        except jax.errors.JaxRuntimeError as e:
            if not out_of_memory(e) or rows == 1:
                raise
            bench.note(f"{name}: {rows} at once", "do not fit the device's memory")
            rows //= 2
            continue
        bench.figure(
            f"{name}: forecasts, {rows} at once",
            [rows / s for s in seconds],
            "1/s",
            note="Program.predict; nothing is exported yet",
        )
        rows = (16 if bench.rehearse else _BATCH) if rows == 1 else 0
