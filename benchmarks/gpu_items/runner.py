"""Runs items one after the other, each in a process of its own, within a budget of time."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fusionjax.errors import InputError
from fusionjax.parallel.xla_flags import set_for_process

ROOT = Path(__file__).resolve().parents[2]
_TAIL = 1500  # characters of a failed item's output that are looked at


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing to measure.

    Attributes:
      number: as in docs/gpu.md.
      name: for people.
      module: whose ``measure(bench)`` does it.
      least: seconds that must be left to start it on a GPU; an estimate.
    """

    number: int
    name: str
    module: str
    least: float


ITEMS = (
    Item(1, "it runs", "gpu_items.story", 150),
    Item(2, "memory", "gpu_items.memory", 120),
    Item(3, "time", "gpu_items.speed", 120),
    Item(4, "against PyTorch", "gpu_items.against_torch", 90),
    Item(5, "attention", "gpu_items.attention", 45),
    Item(6, "cost of the fusion", "gpu_items.fusion", 90),
    Item(7, "feeding", "gpu_items.feeding", 120),
    Item(8, "accidents", "gpu_items.accidents", 90),
    Item(9, "fine-tuning and serving", "gpu_items.serving", 90),
    Item(10, "precision", "gpu_items.precision", 60),
)
_DEVICE = Item(0, "the machine", "gpu_items.device", 0)
_REHEARSED = 5.0  # seconds that must be left to start an item of a rehearsal


@dataclasses.dataclass(frozen=True)
class ItemOutcome:
    """Result of an item.

    Attributes:
      status: done, failed, stopped (its time was up; what it had measured by then counts), not run.
      why: unless it is done.
      figures: what it measured, as ``bench.Bench`` wrote them.
    """

    item: Item
    status: str
    why: str
    seconds: float
    figures: list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class GpuReport:
    """All outcomes, and on what machine by which command and when."""

    rehearsal: bool
    command: str
    date: str
    machine: dict[str, Any]
    outcomes: list[ItemOutcome]


@dataclasses.dataclass(frozen=True)
class Runner:
    """How items are run.

    Attributes:
      rehearse: on the CPU at toy widths, instead of on a GPU.
      kit: the folder of the planted market that ``make gpu-kit`` made.
      work: folder for all that the items write.
      seconds: for all items together.
    """

    rehearse: bool
    kit: Path
    work: Path
    seconds: float

    def run(self, items: list[Item], command: str) -> GpuReport:
        """Runs the items in order.

        Raises:
          InputError: there is no GPU, and no rehearsal was asked for; or JAX does not start.
        """
        end = time.monotonic() + self.seconds
        date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        machine = self._machine(end)
        outcomes = []
        for item in items:
            print(f"item {item.number}, {item.name}: started", file=sys.stderr, flush=True)
            outcomes.append(outcome := self.one(item, end - time.monotonic()))
            print(f"item {item.number}: {outcome.status}, {outcome.seconds:.0f} s", file=sys.stderr)
        return GpuReport(self.rehearse, command, date, machine, outcomes)

    def _machine(self, end: float) -> dict[str, Any]:
        outcome = self.one(_DEVICE, end - time.monotonic())
        if outcome.status != "done":
            raise InputError(f"JAX does not start here: {outcome.why}")
        machine = outcome.figures[0]
        if not self.rehearse and machine["platform"] != "gpu":
            raise InputError(
                f"JAX finds no GPU here, only {machine['card']}: install jax[cuda12] or "
                "jax[cuda13], or rehearse on the CPU with --rehearse"
            )
        return machine

    def one(self, item: Item, left: float) -> ItemOutcome:
        """Runs an item in a process of its own, killed after ``left`` seconds with all that it
        started; what it has written down by then counts."""
        least = min(item.least, _REHEARSED) if self.rehearse else item.least
        if left < least:
            why = f"{max(left, 0):.0f} s of --seconds are left, it needs {least:.0f} or more"
            return ItemOutcome(item, "not run", why, 0.0, [])
        place = self.work / f"item_{item.number}"
        shutil.rmtree(place, ignore_errors=True)  # a training left here would be continued
        place.mkdir(parents=True)
        path, started = place / "figures.jsonl", time.monotonic()
        path.write_text("")
        command = [sys.executable, "-m", "gpu_items.bench", item.module, str(path), str(self.kit)]
        command += [str(left), "rehearse" if self.rehearse else "measure"]
        with tempfile.TemporaryFile("w+") as log:
            child = subprocess.Popen(
                command,
                cwd=place,
                env=self._environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = child.wait(left)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end(child)
            log.seek(0)
            output = log.read()
        (place / "log").write_text(output)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        figures = [row for row in rows if "error" not in row]
        errors = [row["error"] for row in rows if "error" in row]
        status, why = _judged(code, errors or output[-_TAIL:].splitlines(), figures)
        return ItemOutcome(item, status, why, time.monotonic() - started, figures)

    def _environment(self) -> dict[str, str]:
        variables = dict(os.environ)
        paths = [str(ROOT / "benchmarks"), str(ROOT), variables.get("PYTHONPATH", "")]
        variables["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
        variables.setdefault("JAX_COMPILATION_CACHE_DIR", str(self.work / "compiled"))
        if self.rehearse:
            variables["JAX_PLATFORMS"] = "cpu"
        else:
            set_for_process(variables)
        return variables


def _end(child: subprocess.Popen) -> None:
    """Kills the process and whatever it started and left."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # nobody is left of it
    finally:
        child.wait()


def _judged(code: int | None, lines: list[str], figures: list[dict[str, Any]]) -> tuple[str, str]:
    """Status and why; ``lines`` is what it raised or, if it was killed, wrote last."""
    if code is None:
        return "stopped", "--seconds were up"
    if code:
        last = [line for line in lines if line.strip()][-1:]
        return "failed", f"{''.join(last)} (status {code})".strip()
    broken = [f["what"] for f in figures if f.get("holds") is False]
    return ("failed", f"does not hold: {'; '.join(broken)}") if broken else ("done", "")
