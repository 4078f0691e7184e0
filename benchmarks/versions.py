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
    found: str
    holds: bool


def command(python: str, script: str, *flags: str) -> list[str]:
    config = f"--config={ROOT}/configs/demo.py"
    return [python, str(ROOT / "launch" / f"{script}.py"), config, *TOY, *flags]


def run(python: str, script: str, *flags: str) -> str:
    """What a command says; it must end well."""
    made = command(python, script, *flags)
    done = subprocess.run(made, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(made)}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}


def stopped(python: str, folder: Path) -> None:
    """A training that is asked to stop at its first checkpoint."""
    made = command(python, "train", f"--workdir={folder}")
    with subprocess.Popen(
        made, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as training:
        while not (folder / f"seed_0/checkpoints/{SAVED}").exists() and training.poll() is None:
            time.sleep(0.01)
        training.send_signal(signal.SIGTERM)
        said, _ = training.communicate()
    if training.returncode != 75:  # stopped as asked, and saved
        sys.exit(f"{' '.join(made)}\nended with {training.returncode}, not 75:\n{said}")


def losses(folder: Path) -> dict[int, float]:
    rows = map(json.loads, (folder / "seed_0/metrics.jsonl").read_text().splitlines())
    return {row["step"]: row["loss"] for row in rows}


def told(folder: Path) -> dict[str, int]:
    """The steps of what happened, by its code."""
    rows = map(json.loads, (folder / "seed_0/events.jsonl").read_text().splitlines())
    return {row["code"]: row["step"] for row in rows}


def rises(python: str, folder: Path) -> list[float]:
    """The probabilities of a rise, of one stock and day, uncalibrated and calibrated."""
    (forecast,) = json.loads(run(python, "predict", f"--run={folder}", *AT))
    return [forecast["direction"]["1d"]["up"], forecast["calibrated"]["up"]]


def apart(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def crossed(writer: str, reader: str, place: Path) -> Iterator[Claim]:
    """What must hold of runs that ``writer`` began and ``reader`` goes on with."""
    whole, half, child = place / "whole", place / "half", place / "child"
    run(writer, "train", f"--workdir={whole}")
    stopped(writer, half)
    run(reader, "train", f"--workdir={half}")
    events = told(half)
    at = events.get("T1", 0)
    # Every array's bits are summed when written and when read: C2 and C3 tell what differs.
    yield Claim(
        "a stopped training's checkpoint is read, bit by bit",
        f"step {at}, events {', '.join(events)}",
        SAVED <= at < STEPS and not {"C2", "C3"} & set(events),
    )
    alone, together = losses(whole), losses(half)
    off = max(abs(together.get(s, 9e9) / alone[s] - 1) for s in range(1, STEPS + 1))
    yield Claim(
        f"and goes on: losses of {STEPS - at} steps, relative to one that was not stopped",
        f"within {off:.1e}",
        off <= LOSS,
    )
    off = apart(rises(writer, whole), rises(reader, whole))
    yield Claim("a finished run forecasts the same", f"within {off:.1e}", off <= PROBABILITY)
    run(reader, "finetune", f"--from={whole}", f"--workdir={child}")
    verdict = json.loads((child / "gate.json").read_text())
    steps = len(losses(child))
    said = f"{steps} steps; {verdict['why'].split(';')[0]}"
    yield Claim("a finished run is fine-tuned", said, steps == TUNED)
    off = apart(rises(writer, child), rises(reader, child))
    yield Claim("whose child the writer reads", f"within {off:.1e}", off <= PROBABILITY)


def versions(python: str) -> str:
    asked = (
        "import platform; from importlib.metadata import version; "
        f"names = {PACKAGES}; print('Python', platform.python_version(), end=''); "
        "print(*('', *(f'{p} {version(p)}' for p in names)), sep=', ')"
    )
    return subprocess.run(
        [python, "-c", asked], capture_output=True, text=True, check=True
    ).stdout.strip()


def main(one: str, other: str) -> None:
    console = Console(width=160 if not sys.stdout.isatty() else None)
    named = {"A": one, "B": other}
    for name, python in named.items():
        console.print(f"{name}: {versions(python)}")
    table = Table("written by", "gone on with by", "claim", "found", "holds")
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for writer, reader in ("AB", "BA"):
            for claim in crossed(named[writer], named[reader], Path(place) / writer):
                table.add_row(
                    writer, reader, claim.text, claim.found, "yes" if claim.holds else "NO"
                )
                wrong += not claim.holds
    console.print(table)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"two interpreters are needed\n\n{__doc__}")
    main(*(os.path.abspath(python) for python in sys.argv[1:]))
