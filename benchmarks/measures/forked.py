"""Commands in processes forked from one that has imported everything before."""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

# What commands import once they know what to do; what an extra brings may be missing.
_PRELOADED = [
    "fusionjax.app",
    "fusionjax.adapt.daily",
    "fusionjax.evaluate.baselines",
    "fusionjax.evaluate.evaluation",
    "fusionjax.report.run",
    "fusionjax.train.run",
    "arch",
    "lightgbm",
    "plotly.graph_objects",
    "sklearn.linear_model",
    "tensorflow_datasets",
]
_CONTEXT = multiprocessing.get_context("forkserver")


def start(
    command: Sequence[str],
    place: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> BaseProcess:
    """Starts a command; saves the seconds that its imports take, beside a new interpreter.

    JAX and rich read their settings while they are imported, so those are what they were when the
    first command was started.

    Args:
      command: path of a script, and its arguments.
      place: folder to work in.
      log: file that its output is added to.
      environment: of the command, in place of this process's.
    """
    _CONTEXT.set_forkserver_preload(_PRELOADED)
    variables = dict(os.environ if environment is None else environment)
    process = _CONTEXT.Process(target=_live, args=(list(command), str(place), str(log), variables))
    # A script that starts commands is not run again in each of them.
    with mock.patch.dict(vars(sys.modules["__main__"]), {"__file__": None, "__spec__": None}):
        process.start()
    return process


def _live(command: list[str], place: str, log: str, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(place)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    sys.argv = command
    sys.path.insert(0, str(Path(command[0]).parent))  # as for a script that Python runs
    runpy.run_path(command[0], run_name="__main__")
