"""A run's numbers to file (JSONL and TensorBoard) and its pace to the screen."""

import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import (BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn,
                           TimeElapsedColumn, TimeRemainingColumn)
from tensorboardX import SummaryWriter

# Everything a person reads goes through one console, so that bars and lines do not tear. A file
# or a pipe has no width: give it room for the widest table.
CONSOLE = Console(width=None if sys.stdout.isatty() else 120)


def progress_bar() -> Progress:
    """A bar with count, time spent, time left and a free text such as rate and loss."""
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(),
                    MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
                    TextColumn("{task.fields[note]}"), console=CONSOLE)


class Telemetry:
    """Appends scalars to ``metrics.jsonl`` and TensorBoard files in a run folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "metrics.jsonl").open("a")
        self._board = SummaryWriter(str(folder / "tensorboard"), max_queue=100)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        row = {"step": step, "time": round(time.time(), 3), **scalars}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._file.close()
        self._board.close()
