"""Lists, shows, reweights and restores the samples that a training excludes or reweights.

fusionjax samples --config=demo --run=runs/demo/seed_0            # lists them
fusionjax samples --config=demo --run=runs/demo/seed_0 --show=4711
fusionjax samples --config=demo --run=runs/demo/seed_0 --weigh=4711=.3
fusionjax samples --config=demo --run=runs/demo/seed_0 --restore=4711
A change applies from the last checkpoint on, when the training resumes.
"""

from pathlib import Path

from absl import flags

from fusionjax import files
from fusionjax.config import Config
from fusionjax.errors import InputError

_RUN = flags.DEFINE_string("run", None, "Folder of one training (…/seed_0)", required=True)
_SHOW = flags.DEFINE_integer("show", None, "A sample's id: show everything it consists of")
_WEIGH = flags.DEFINE_string("weigh", None, "id=weight in [0, 1]; 0 excludes the sample")
_RESTORE = flags.DEFINE_integer("restore", None, "A sample's id: give it full weight again")


def main(config: Config) -> None:
    folder = Path(_RUN.value)
    if _WEIGH.value is None and _RESTORE.value is None:
        run(config, folder)
        return
    try:
        with files.locked(folder, wait=False):  # a training keeps the list in memory
            run(config, folder)
    except BlockingIOError as e:
        raise InputError(f"{folder}: its training is running; stop it, then weigh samples") from e


def run(config: Config, folder: Path) -> None:
    from fusionjax.data.windows import Windows
    from fusionjax.report import samples as pages
    from fusionjax.telemetry import CONSOLE, say
    from fusionjax.train import quarantine
    from fusionjax.train.checkpoint import Checkpoints
    from fusionjax.train.quarantine import Entry
    from fusionjax.train.run import open_market

    with Checkpoints(folder) as checkpoints:
        scaler, step = checkpoints.info().scaler, checkpoints.latest()
    entries = quarantine.read(folder)
    windows = Windows(open_market(config.data), config, scaler)
    if _SHOW.value is not None:
        CONSOLE.print(pages.of_one(windows, windows.require(_SHOW.value), entries))
        return
    if _WEIGH.value is not None:
        row, weight = _parse(_WEIGH.value)
        sample = windows.describe(windows.require(row))
        entries[row] = Entry(weight, step or 0, "weighed by hand", sample)
    if _RESTORE.value is not None:
        if _RESTORE.value not in entries:
            raise InputError(f"--restore: {folder} has no entry for sample {_RESTORE.value}")
        del entries[_RESTORE.value]
    if _WEIGH.value is not None or _RESTORE.value is not None:
        quarantine.write(folder, entries)
        say(f"{folder}: applies when its training resumes from step {step}")
    CONSOLE.print(pages.of_all(entries))


def _parse(text: str) -> tuple[int, float]:
    row, _, weight = text.partition("=")
    try:
        if 0 <= float(weight) <= 1:
            return int(row), float(weight)
    except ValueError:
        pass
    raise InputError(f"--weigh is {text!r}; expected id=weight with a weight in [0, 1]")
