"""Item 10: bfloat16 beside float32 over 300 steps of the demo, and whether two runs are alike."""

import json
from pathlib import Path

import jax
import numpy as np

from fusionjax.config import Config
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.run import Trainer
from fusionjax.train.state import TrainState
from gpu_items.bench import Bench
from gpu_items.configs import small

_LAST = 50  # steps whose loss is compared


def measure(bench: Bench) -> None:
    """Heads of 64, so that bfloat16 takes cuDNN's attention on a GPU."""
    wide = {} if bench.rehearse else {"model__width": 256, "model__heads": 4}
    steps = 20 if bench.rehearse else 300
    config = small(bench, train__steps=steps, train__warmup_steps=5, train__log_every=1, **wide)
    half = config.override({"model.compute_dtype": "bfloat16"})
    first, one = _trained(half, "bfloat16")
    again, two = _trained(half, "bfloat16_again")
    _, exact = _trained(config, "float32")
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True)
    differ = sum(not np.array_equal(a, b) for a, b in pairs)
    bench.figure(
        "bfloat16: arrays of the state that differ between two runs",
        differ,
        "",
        at_most=0,
        note="exact comparison",
    )
    bench.figure("bfloat16: losses of two runs apart, the most", np.abs(one - two).max(), "")
    a, b = (float(x[-_LAST:].mean()) for x in (one, exact))
    bench.figure(
        "bfloat16 over float32: mean loss of the last steps",
        a / b,
        "",
        note=f"{a:.4f} and {b:.4f}, {steps} steps",
    )
    bench.figure("losses apart, root of the mean square", np.sqrt(((one - exact) ** 2).mean()), "")
    bench.claim(
        "both precisions learn",
        exact[-5:].mean() < exact[:5].mean() and one[-5:].mean() < one[:5].mean(),
    )


def _trained(config: Config, name: str) -> tuple[TrainState, np.ndarray]:
    """The last state, on the host, and the loss of every step."""
    trainer = Trainer.from_config(config, make_mesh(config.mesh, jax.devices()[:1]))
    state = jax.device_get(trainer.train(0, Path(name)))
    log = (Path(name) / "metrics.jsonl").read_text().splitlines()
    return state, np.array([json.loads(line)["loss"] for line in log])
