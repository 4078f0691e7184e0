#!/usr/bin/env bash
# jax 0.10.2: two processes of one machine, CPU collectives by Gloo.
#
# Good guess: a process that comes to the first collective later is waited for, as
# jax.distributed.initialize waits for 300 s by itself.
# Seen: 30 s later is too late. Who came first raises "Gloo context initialization failed ...
# DEADLINE_EXCEEDED"; processes that compile at different speeds meet it, or one that prepares data.
#
# Installs in a temporary folder (PYTHON=python3). Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2
cat > "$work/meet.py" <<'PY'
import sys
import time

import jax
import numpy as np

index, port, late = map(int, sys.argv[1:])
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"127.0.0.1:{port}", 2, index)
mesh = jax.make_mesh((2,), ("data",))
split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
x = jax.make_array_from_process_local_data(split, np.ones(1, np.float32))
if index == 1:
    time.sleep(late)
try:
    total = jax.jit(lambda x: x.sum(), out_shardings=jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))(x)
    print(f"process {index}, the other {late} s late: sum {float(total):.0f}", flush=True)
except Exception as e:
    kind = "DEADLINE_EXCEEDED" if "DEADLINE_EXCEEDED" in str(e) else str(e)[:200]
    print(f"process {index}, the other {late} s late: {kind}", flush=True)
PY
"$work/venv/bin/python" -c 'import jax; print("jax", jax.__version__)'
for late in 5 45; do
  port="$("$work/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
  timeout 150 "$work/venv/bin/python" "$work/meet.py" 1 "$port" "$late" > /dev/null 2>&1 &
  timeout 150 "$work/venv/bin/python" "$work/meet.py" 0 "$port" "$late" 2> /dev/null | tee -a "$work/seen" || true
  wait || true
done
grep -q "5 s late: sum 2" "$work/seen"
grep -q "45 s late: DEADLINE_EXCEEDED" "$work/seen"
