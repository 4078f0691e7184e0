#!/usr/bin/env bash
# The same compiled JAX program, the same input, one machine: started on one core and on two.
#
# Good guess: the same bits. XLA on a CPU is deterministic from start to start.
# Seen with jax 0.10.2: a sum over two million float32 has other last bits on two cores than on one,
# so a mean loss and all that follows have; dot products, jnp.linalg.norm among them, have the same.
# A training that is resumed in a container with more cores, or under taskset, is another training.
# Why: a large reduction is split into one part a core, and the parts are added afterwards.
#
# Installs in a temporary folder (PYTHON=python3); needs two cores. Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 numpy==2.3.5
cat > "$work/bits.py" <<'PY'
import json
import os
import sys

cores = sorted(os.sched_getaffinity(0))[: int(sys.argv[1])]
assert len(cores) == int(sys.argv[1]), "needs two cores"
os.sched_setaffinity(0, cores)

import jax
import jax.numpy as jnp
import numpy as np

rng = np.random.default_rng(0)
a = jnp.asarray(rng.normal(size=(512, 4096)).astype(np.float32))
b = jnp.asarray(rng.normal(size=(4096, 64)).astype(np.float32))
said = {"sum": jnp.sum(a), "norm": jnp.linalg.norm(a), "product": jnp.dot(a, b)}
print(json.dumps({k: np.asarray(v).tobytes().hex() for k, v in said.items()}))
PY
cat > "$work/compare.py" <<'PY'
import importlib.metadata
import json
import subprocess
import sys

for name in ("jax", "jaxlib", "numpy"):
    print(name, importlib.metadata.version(name))


def said(cores):
    done = subprocess.run(
        [sys.executable, sys.argv[1], str(cores)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


one, again, two = said(1), said(1), said(2)
assert one == again, "not even from start to start"
same = {k: one[k] == two[k] for k in one}
print("same bits on one core and on two:", same)
assert same == {"sum": False, "norm": True, "product": True}
PY
JAX_PLATFORMS=cpu "$work/venv/bin/python" "$work/compare.py" "$work/bits.py"
