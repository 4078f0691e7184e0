#!/usr/bin/env bash
# Orbax keeps checkpoints by a metric: CheckpointManagerOptions(best_fn, best_mode, max_to_keep).
#
# Good guess: a step whose metric is NaN ranks last, and the newest step stays to resume from.
# Seen with 0.12.8: a NaN ranks first in both modes. The step with NaN stays and the best one before
# it is deleted; steps saved next are ranked beside it, so "min" of .4, NaN, .6 keeps .6. Without any
# NaN the newest step is deleted as soon as it is not among the best: latest_step() goes back.
# Why: metrics are sorted as they are, and no order holds with a NaN among them.
#
# Installs in a temporary folder (PYTHON=python3). Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 orbax-checkpoint==0.12.8
cat > "$work/best.py" <<'PY'
import importlib.metadata
import sys

import jax.numpy as jnp
import orbax.checkpoint as ocp

for name in ("jax", "orbax-checkpoint"):
    print(name, importlib.metadata.version(name))


def kept(folder, mode, metrics):
    """The steps on disk after each save, and the newest of them."""
    options = ocp.CheckpointManagerOptions(
        max_to_keep=1,
        best_fn=lambda m: m["loss"],
        best_mode=mode,
        enable_async_checkpointing=False,
    )
    seen = []
    with ocp.CheckpointManager(folder, options=options) as manager:
        for step, metric in enumerate(metrics, 1):
            state = ocp.args.StandardSave({"weight": jnp.zeros(2)})
            manager.save(step, args=state, metrics={"loss": metric})
            seen.append(manager.all_steps())
        assert manager.latest_step() == seen[-1][-1]
    return seen


nan = float("nan")
for number, (mode, metrics, expected) in enumerate(
    [
        ("min", (0.5, 0.4, 0.6, 0.45), [[1], [2], [2], [2]]),  # the newest two are gone
        ("min", (0.5, 0.4, nan), [[1], [2], [3]]),  # the best, .4, is gone
        ("max", (0.5, 0.4, nan), [[1], [1], [3]]),
        ("min", (0.5, 0.4, nan, 0.6), [[1], [2], [3], [4]]),
    ]
):
    seen = kept(f"{sys.argv[1]}/{number}", mode, metrics)
    print(mode, metrics, "->", seen)
    assert seen == expected
PY
JAX_PLATFORMS=cpu "$work/venv/bin/python" "$work/best.py" "$work"
