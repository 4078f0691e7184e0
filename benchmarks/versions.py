"""Runs that cross versions: what one Python and JAX wrote, another reads, resumes and fine-tunes.

python benchmarks/versions.py .venv/bin/python OTHER_ENVIRONMENT/bin/python

The demo at toy widths, in each direction. Ends with status 1 where something does not hold.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
STEPS, SAVED, TUNED = 400, 50, 20  # of a training, between its checkpoints, of a fine-tuning
TOY = (
    *("--config.model.width=16", "--config.model.layers=1", "--config.model.heads=2"),
    *("--config.train.global_batch_size=32", f"--config.train.steps={STEPS}"),
    *(f"--config.train.checkpoint_every={SAVED}", "--config.train.log_every=1"),
    f"--config.finetune.steps={TUNED}",
)
PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "pandas")
AT = ("--symbol=SPX", "--at=2018-06-29")
# Two compilers may order sums otherwise, and training multiplies it: bounds of the relative
# difference of a loss, and of that of a probability.
LOSS, PROBABILITY = 1e-4, 1e-4


@dataclasses.dataclass
class Claim:
    """One line of the table."""

    text: str
    measured: str
    holds: bool


def command(python: str, script: str, *flags: str) -> list[str]:
    config = f"--config={ROOT}/configs/demo.py"
    return [python, str(ROOT / "launch" / f"{script}.py"), config, *TOY, *flags]


def run(python: str, script: str, *flags: str) -> str:
    """Runs a command and returns its output; exits if it fails."""
    argv = command(python, script, *flags)
    result = subprocess.run(argv, env=environment(), capture_output=True, text=True, check=False)
    if result.returncode:
        output = result.stdout + result.stderr
        sys.exit(f"{' '.join(argv)}\nended with {result.returncode}:\n{output}")
    return result.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}


def stopped(python: str, folder: Path) -> None:
    """Runs a training and stops it at its first checkpoint."""
    argv = command(python, "train", f"--workdir={folder}")
    with subprocess.Popen(
        argv, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as training:
        while not (folder / f"seed_0/checkpoints/{SAVED}").exists() and training.poll() is None:
            time.sleep(0.01)
        training.send_signal(signal.SIGTERM)
        output, _ = training.communicate()
    if training.returncode != 75:  # stopped as asked, and saved
        sys.exit(f"{' '.join(argv)}\nended with {training.returncode}, not 75:\n{output}")


def losses(folder: Path) -> dict[int, float]:
    rows = map(json.loads, (folder / "seed_0/metrics.jsonl").read_text().splitlines())
    return {row["step"]: row["loss"] for row in rows}


def event_steps(folder: Path) -> dict[str, int]:
    """The step of each event, by the event's code."""
    rows = map(json.loads, (folder / "seed_0/events.jsonl").read_text().splitlines())
    return {row["code"]: row["step"] for row in rows}


def rises(python: str, folder: Path) -> list[float]:
    """The probabilities of a rise, of one stock and day, uncalibrated and calibrated."""
    (forecast,) = json.loads(run(python, "predict", f"--run={folder}", *AT))
    return [forecast["direction"]["1d"]["up"], forecast["calibrated"]["up"]]


def distance(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def crossed(writer: str, reader: str, place: Path) -> Iterator[Claim]:
    """Checks on runs that ``writer`` started and ``reader`` continues."""
    complete, stopped_run, child = place / "whole", place / "half", place / "child"
    run(writer, "train", f"--workdir={complete}")
    stopped(writer, stopped_run)
    run(reader, "train", f"--workdir={stopped_run}")
    events = event_steps(stopped_run)
    stopped_at = events.get("T1", 0)
    # Every array's bits are summed when written and when read: C2 and C3 tell what differs.
    yield Claim(
        "a stopped training's checkpoint is read, bit by bit",
        f"step {stopped_at}, events {', '.join(events)}",
        SAVED <= stopped_at < STEPS and not {"C2", "C3"} & set(events),
    )
    alone, together = losses(complete), losses(stopped_run)
    gap = max(abs(together.get(s, 9e9) / alone[s] - 1) for s in range(1, STEPS + 1))
    yield Claim(
        f"and goes on: losses of {STEPS - stopped_at} steps, relative to one that was not stopped",
        f"within {gap:.1e}",
        gap <= LOSS,
    )
    gap = distance(rises(writer, complete), rises(reader, complete))
    yield Claim("a finished run forecasts the same", f"within {gap:.1e}", gap <= PROBABILITY)
    run(reader, "finetune", f"--from={complete}", f"--workdir={child}")
    verdict = json.loads((child / "gate.json").read_text())
    steps = len(losses(child))
    note = f"{steps} steps; {verdict['why'].split(';')[0]}"
    yield Claim("a finished run is fine-tuned", note, steps == TUNED)
    gap = distance(rises(writer, child), rises(reader, child))
    yield Claim("whose child the writer reads", f"within {gap:.1e}", gap <= PROBABILITY)


def versions(python: str) -> str:
    script = (
        "import platform; from importlib.metadata import version; "
        f"names = {PACKAGES}; print('Python', platform.python_version(), end=''); "
        "print(*('', *(f'{p} {version(p)}' for p in names)), sep=', ')"
    )
    return subprocess.run(
        [python, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()


def main(one: str, other: str) -> None:
    console = Console(width=160 if not sys.stdout.isatty() else None)
    named = {"A": one, "B": other}
    for name, python in named.items():
        console.print(f"{name}: {versions(python)}")
    table = Table("written by", "continued by", "claim", "measured", "holds")
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for writer, reader in ("AB", "BA"):
            for claim in crossed(named[writer], named[reader], Path(place) / writer):
                table.add_row(
                    writer, reader, claim.text, claim.measured, "yes" if claim.holds else "NO"
                )
                wrong += not claim.holds
    console.print(table)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"two interpreters are needed\n\n{__doc__}")
    main(*(os.path.abspath(python) for python in sys.argv[1:]))
