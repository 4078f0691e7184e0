"""What ``fusionjax predict`` costs by command, of this build and of another checkout in turns."""

import dataclasses
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fusionjax.errors import InputError

# Of a run that was never asked; asked before, its programs lost; asked before; for all stocks.
FIRST, COLD, WARM, ALL = "first", "no compiled programs", "asked before", "all stocks"


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one process: CPU seconds of all its threads, seconds by the clock, megabytes at most."""

    cpu: float
    wall: float
    resident: float


def measure(
    run: Path, builds: list[Path], symbol: str, rounds: int, flags: tuple[str, ...] = ()
) -> dict[str, list[Cost]]:
    """The median cost of each kind of request for each build.

    Builds take turns in every round, each with copies of the run and of compiled programs that are
    its own: what else the machine does meanwhile meets all alike.

    Args:
      run: folder of a run.
      builds: checkouts.
      symbol: of the one stock.
      rounds: of all requests of all builds.
      flags: further ones of the command.

    Raises:
      InputError: a checkout has no build.
    """
    for build in builds:
        if not (build / "fusionjax").is_dir():
            raise InputError(f"{build}: holds no fusionjax/; give the folder of a checkout")
    found: dict[str, list[list[Cost]]] = {}
    for _ in range(rounds):
        for at, build in enumerate(builds):
            for name, cost in _round(run, build, symbol, flags):
                found.setdefault(name, [[] for _ in builds])[at].append(cost)
    return {name: [_median(costs) for costs in each] for name, each in found.items()}


def _round(
    run: Path, build: Path, symbol: str, flags: tuple[str, ...]
) -> Iterator[tuple[str, Cost]]:
    with tempfile.TemporaryDirectory() as folder:
        copy, compiled = Path(folder) / "run", Path(folder) / "compiled"
        shutil.copytree(run, copy, ignore=shutil.ignore_patterns("calibration*.npz"))
        command = [f"--run={copy}", f"--compile_cache={compiled}", *flags]
        one = [*command, f"--symbol={symbol}"]
        yield FIRST, _cost(build, one)
        shutil.rmtree(compiled)
        yield COLD, _cost(build, one)
        yield WARM, _cost(build, one)
        _cost(build, command)  # compiles the program for so many
        yield ALL, _cost(build, command)


def _cost(build: Path, words: list[str]) -> Cost:
    """Of a command in a process of its own; its answer is not looked at."""
    environment = os.environ | {"PYTHONPATH": str(build)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-m", "fusionjax", "predict", *words]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        begun = os.times().elapsed
        _, status, usage = os.wait4(process.pid, 0)
        wall = os.times().elapsed - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode:
            raise RuntimeError(f"{build}: {' '.join(words)}: {said.read().decode()}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1000)


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(c, f.name) for c in costs)
                  for f in dataclasses.fields(Cost)))  # fmt: skip
