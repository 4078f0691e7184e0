"""What launch/plan.py says of a config: on the same JAX, without the GPU."""

import json
from pathlib import Path
from typing import Any

from gpu_items.bench import NEEDS_GPU, Bench
from gpu_items.configs import as_flags


def plan(bench: Bench, config: str, changes: dict[str, Any]) -> dict[str, Any] | None:
    """The plan as it is written to runs/, or None in a rehearsal and where it cannot be made.

    Its compiler is that of JAX's CUDA plugin, so a rehearsal has none. A plan that does not fit
    (status 2) is written all the same.
    """
    if bench.rehearse:
        bench.missing(f"plan of {config}", f"{NEEDS_GPU}'s compiler")
        return None
    try:
        bench.launch("plan", config, *as_flags(changes), status=(0, 2))
        found = next(Path("runs").glob(f"*/plan_{changes.get('mesh.data', 1)}.json"))
        return json.loads(found.read_text())
    except (RuntimeError, StopIteration) as e:
        bench.missing(f"plan of {config}", f"launch/plan.py made none: {e}")
        return None
