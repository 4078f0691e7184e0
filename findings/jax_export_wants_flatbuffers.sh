#!/usr/bin/env bash
# A function is exported by jax.export, to be served where only jax is installed.
#
# Good guess: serialize() and deserialize() work wherever jax and jaxlib are installed, as jax.export
# is a part of jax.
# Seen with 0.10.2: exporting works, and so does calling what was exported; serialising raises
# ImportError, "Please install 'flatbuffers'". None of jax's requirements or extras names it. Where
# tensorflow or onnxruntime are installed it is there, so a training environment works and the image
# that was made for serving alone finds out when it loads its first model.
#
# Installs in a temporary folder (PYTHON=python3). Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 2> /dev/null
cat > "$work/export.py" <<'PY'
import importlib.metadata

import jax
import jax.export
import jax.numpy as jnp

print("jax", importlib.metadata.version("jax"))
exported = jax.export.export(jax.jit(lambda x: 2 * x))(jnp.ones(3))
print("exported and called:", exported.call(jnp.ones(3)))
try:
    exported.serialize()
    raise SystemExit("it was serialised")
except ImportError as e:
    print("serialize():", e)
    assert "flatbuffers" in str(e)
named = [r for r in importlib.metadata.requires("jax") if "flatbuffers" in r]
print("requirements and extras of jax that name it:", named)
assert not named
PY
JAX_PLATFORMS=cpu "$work/venv/bin/python" "$work/export.py"
