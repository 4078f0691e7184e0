"""The one console through which everything on the screen is printed."""

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fusionjax.parallel import processes

# One, so that bars and lines do not tear. A file or a pipe has no width: give it room for the
# widest table.
CONSOLE = Console(width=None if sys.stdout.isatty() else 120)


def say(text: str) -> None:
    """Prints a line unformatted, in the first process only."""
    if processes.first():
        CONSOLE.print(text, highlight=False, soft_wrap=True, markup=False)


def progress_bar() -> Progress:
    """A bar with count, time spent, time left and a free text such as rate and loss."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=CONSOLE,
        disable=not processes.first(),
    )
