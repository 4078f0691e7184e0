"""Starts commands as a user would, but forked from a process that imported everything."""

import os
import tempfile
from pathlib import Path

from conftest import ROOT, XLA_FLAGS

from benchmarks.measures import forked

ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "JAX_NUM_CPU_DEVICES"}
ENVIRONMENT |= {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "XLA_FLAGS": XLA_FLAGS}


# Of a training at toy widths.
SMALL = [
    "--config.model.width=16",
    "--config.model.layers=1",
    "--config.model.heads=2",
    "--config.train.global_batch_size=32",
    "--config.train.log_every=1",
    "--config.train.warmup_steps=2",
]


def arguments(script: str, config: str | None, *flags: str) -> list[str]:
    """A command's words after ``python``.

    Args:
      script: of ``launch/``, or with its folder: ``studies/ladder``.
      config: of ``configs/``, or with its folder; None for none.
      flags: of the command.
    """
    given = [] if config is None else [f"--config={_file('configs', config)}"]
    return [str(_file("launch", script)), *given, *flags]


def _file(folder: str, name: str) -> Path:
    return ROOT / (f"{name}.py" if "/" in name else f"{folder}/{name}.py")


def launch(folder: Path, script: str, config: str | None, *flags: str, status: int = 0) -> str:
    """Runs a command in ``folder``; returns what it printed. Fails where it ends otherwise."""
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        process = forked.start(
            arguments(script, config, *flags),
            folder,
            Path(log.name),
            ENVIRONMENT | {"XDG_STATE_HOME": str(folder / ".state")},
        )
        process.join(900)
        if process.exitcode is None:
            process.kill()
        output = log.read()
    assert process.exitcode == status, output
    assert status == 0 or "Traceback" not in output, output
    return output
