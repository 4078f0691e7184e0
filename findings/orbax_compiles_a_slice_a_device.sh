#!/usr/bin/env bash
# orbax-checkpoint 0.12.8 saves what is replicated in parallel: each replica writes a part of it.
#
# Good guess: a save reads arrays and writes files; it compiles nothing.
# Seen: of ten replicated arrays of some kilobytes on 64 CPU devices, the first save compiles 640
# programs and takes tens of CPU seconds. Each part is cut on its device by a slice with fixed
# bounds, so every part is a program of its own. With min_slice_bytes_for_replica_parallel there is
# none. By its source (type_handlers, use_replica_parallel) it is off where JAX_PLATFORMS names gpu,
# and so is on for GPUs that JAX found by itself.
#
# Installs in a temporary folder (PYTHON=python3). Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 orbax-checkpoint==0.12.8
cat > "$work/save.py" <<'PY'
import sys
import tempfile
import time
from importlib import metadata

import jax
import numpy as np
import orbax.checkpoint as ocp

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 64)
if sys.argv[1] == "large":
    handler = ocp.type_handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=2**20)
    ocp.type_handlers.register_type_handler(jax.Array, handler, override=True)
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, *_, **__: compiled.append(name) if name.endswith("backend_compile_duration") else 0
)
mesh = jax.make_mesh((64,), ("data",))
whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
state = {f"w{i}": jax.device_put(np.ones((64, 64 + i), np.float32), whole) for i in range(10)}
compiled.clear()
begun = time.process_time()
with ocp.CheckpointManager(tempfile.mkdtemp(dir=sys.argv[2])) as manager:
    manager.save(0, args=ocp.args.StandardSave(state))
    manager.wait_until_finished()
versions = " ".join(f"{n} {metadata.version(n)}" for n in ("jax", "orbax-checkpoint"))
spent = time.process_time() - begun
print(f"{versions}, slices {sys.argv[1]}: {len(compiled)} programs, {spent:.1f} CPU s")
assert len(compiled) == (640 if sys.argv[1] == "default" else 0)
PY
for slices in default large; do "$work/venv/bin/python" "$work/save.py" "$slices" "$work"; done
