"""Writes a run's HTML page, or shows the ledger.

fusionjax report --config=acl18 --run=runs/acl18 --split=dev
fusionjax report --ledger    # every training, evaluation and sweep point, side by side
fusionjax report --ledger --mlflow=http://HOST:5000    # and its records to an MLflow server
fusionjax report --live      # each training under runs/: compiling, running, stopped, silent, ...
fusionjax report --live --watch      # the same, again every five seconds
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError, require_extra

_RUN = flags.DEFINE_string("run", None, "Run folder that fusionjax evaluate scored")
_SPLIT = flags.DEFINE_string(
    "split", None, "Split, or FROM:TO, its first and last day; config.evaluate.split if not given"
)
_DATA = flags.DEFINE_string("data", None, "Folder of the raw files, in place of config.data.root")
flags.DEFINE_alias("data.root", "data")
_LIVE = flags.DEFINE_bool("live", False, "Show the progress of the trainings under --runs")
_WATCH = flags.DEFINE_bool("watch", False, "With --live: shows it again every five seconds")
_RUNS = flags.DEFINE_string("runs", "runs", "Folder of the run folders, for --live")
_LEDGER = flags.DEFINE_bool("ledger", False, "Show the ledger instead")
_MLFLOW = flags.DEFINE_string(
    "mlflow", None, "With --ledger: tracking server that gets the records that it lacks"
)
_SECONDS = 5.0  # between two looks of --watch


def main(config: Config | None) -> None:
    if _MLFLOW.value is not None:
        if not _LEDGER.value:
            raise InputError("--mlflow goes with --ledger, whose records it adds")
        require_extra("mlflow", "mlflow")
    from fusionjax import ledger
    from fusionjax.report import frames, tracker
    from fusionjax.report import ledger as ledger_page
    from fusionjax.telemetry import CONSOLE, say

    if _LIVE.value:
        show_live(Path(_RUNS.value))
        return
    if _LEDGER.value:
        records = ledger.read(Path(app.LEDGER.value))
        if not records:
            raise InputError(f"{app.LEDGER.value}: no record; train or evaluate something first")
        CONSOLE.print(
            frames.for_screen(ledger.table(records, wide=False), f"{len(records)} records")
        )
        say(f"written to {ledger_page.write(records, Path(app.LEDGER.value))}")
        if _MLFLOW.value is not None:
            say(f"{tracker.export(records, _MLFLOW.value)} records added to {_MLFLOW.value}")
        return
    if config is None or _RUN.value is None:
        raise InputError("give --config and --run to see a run, --live or --ledger")
    from fusionjax import api

    config = app.with_flags(config, {"evaluate.split": _SPLIT.value, "data.root": _DATA.value})
    say(f"written to {api.write_page(Path(_RUN.value), config, Path(app.LEDGER.value))}")


def show_live(runs: Path) -> None:
    import time

    from rich.live import Live
    from rich.table import Table

    from fusionjax.report import frames, live
    from fusionjax.telemetry import CONSOLE

    def table() -> Table:
        return frames.for_screen(live.look(runs), f"{runs}, {time.strftime('%H:%M:%S')}")

    if not _WATCH.value:
        CONSOLE.print(table())
        return
    with Live(table(), console=CONSOLE, auto_refresh=False) as shown:
        while True:  # until Ctrl-C
            time.sleep(_SECONDS)
            shown.update(table(), refresh=True)
