"""Starts launch commands as a user would, but forked from a process that imported everything."""

import os
import tempfile
from pathlib import Path

from conftest import ROOT, XLA_FLAGS

from fusionjax.endure import forked

ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"}
ENVIRONMENT |= {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "XLA_FLAGS": XLA_FLAGS}


def arguments(script: str, config: str | None, *flags: str) -> list[str]:
    """A command's words after ``python``: ``config`` is the name of one of ``configs/``."""
    given = [] if config is None else [f"--config={ROOT / 'configs' / config}.py"]
    return [str(ROOT / "launch" / f"{script}.py"), *given, *flags]


def launch(folder: Path, script: str, config: str | None, *flags: str, status: int = 0) -> str:
    """Runs a command in ``folder``; returns what it printed. Fails where it ends otherwise."""
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        process = forked.start(
            arguments(script, config, *flags), folder, Path(log.name), ENVIRONMENT
        )
        process.join(900)
        if process.exitcode is None:
            process.kill()
        output = log.read()
    assert process.exitcode == status, output
    assert status == 0 or "Traceback" not in output, output
    return output
