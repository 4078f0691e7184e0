#!/usr/bin/env bash
# arch.bootstrap.optimal_block_length chooses the mean block length of a stationary bootstrap
# (Politis & White), for example for intervals over trading days.
#
# Good guess: lengths are at least 1, as a block holds at least one day.
# Seen with 8.0.0: of independent days a third of the lengths are below 1 (down to .02), at 20 days as
# at 250; and a third of short samples are far above 1. StationaryBootstrap takes any length below 1 as
# 1 without a word, so its intervals are those of independent days; a length rounded for
# CircularBlockBootstrap or MovingBlockBootstrap may be 0.
# Why: the estimate is a ratio to the power 1/3 and only bounded above (by min(3 √n, n/3)).
#
# Installs in a temporary folder (PYTHON=python3). Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet arch==8.0.0 numpy==2.3.5 pandas==2.3.3 scipy==1.16.3
cat > "$work/blocks.py" <<'PY'
import importlib.metadata

import numpy as np
from arch.bootstrap import StationaryBootstrap, optimal_block_length

for name in ("arch", "numpy", "pandas", "scipy"):
    print(name, importlib.metadata.version(name))
rng = np.random.default_rng(0)
for days in (20, 63, 250):
    lengths = np.array(
        [optimal_block_length(rng.standard_normal(days))["stationary"].iloc[0] for _ in range(200)]
    )
    below = (lengths < 1).mean()
    print(f"{days} days: {below:.0%} below 1, least {lengths.min():.2f}, most {lengths.max():.1f}")
    assert 0.2 < below < 0.5
    assert lengths.min() < 0.1
days = rng.standard_normal(100)


def means(length):
    return [d[0][0].mean() for d in StationaryBootstrap(length, days, seed=0).bootstrap(50)]


assert means(0.4) == means(1) != means(1.3)
print("StationaryBootstrap(.4) draws what StationaryBootstrap(1) does")
PY
"$work/venv/bin/python" "$work/blocks.py"
