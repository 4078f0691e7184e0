"""Lists, shows, compares and removes the runs of a folder.

fusionjax runs list
fusionjax runs show runs/demo                  # config, data, seeds, metrics, scores, parent
fusionjax runs compare runs/demo runs/demo_2   # in which settings they differ, and their scores
fusionjax runs remove runs/demo_2              # shows what would go; --yes removes it
The ledger keeps its records of a removed run.
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.errors import InputError

_RUNS = flags.DEFINE_string("runs", "runs", "Folder of the run folders")
_YES = flags.DEFINE_bool("yes", False, "Remove what fusionjax runs remove shows")


def main(_: None, words: list[str]) -> None:
    actions = {"list": show_all, "show": show, "compare": compare, "remove": remove}
    action, *names = words or [""]
    if action not in actions:
        raise InputError(f"fusionjax runs {action}: expected list, show, compare or remove")
    if bool(names) != (action != "list"):
        raise InputError(
            f"fusionjax runs {action}: expected {'run folders' if not names else 'no further word'}"
        )
    actions[action](names, Path(_RUNS.value))


def show_all(_: list[str], root: Path) -> None:
    from fusionjax.report import frames
    from fusionjax.runs import stored, tables
    from fusionjax.telemetry import CONSOLE

    CONSOLE.print(frames.for_screen(tables.listed(stored.find(root)), str(root)))


def show(names: list[str], root: Path) -> None:
    from fusionjax import ledger
    from fusionjax.report import frames
    from fusionjax.runs import stored, tables
    from fusionjax.telemetry import CONSOLE, say

    runs = stored.find(root)
    chosen, services = stored.named(names, root, runs), stored.services(root)
    for run in chosen:
        children = [str(c.folder) for c in stored.children(run, runs)]
        serves = [str(s) for s, used in services.items() if run.folder.resolve() in used]
        say("\n".join(tables.described(run, children, serves)))
        for title, table in (("training", tables.metrics(run)), ("scores", tables.scores([run]))):
            if len(table):
                CONSOLE.print(frames.for_screen(table, title))
        records = tables.records(run, ledger.read(Path(app.LEDGER.value)))
        say(f"{len(records)} record(s) in {app.LEDGER.value}")


def compare(names: list[str], root: Path) -> None:
    from fusionjax.report import frames
    from fusionjax.runs import stored, tables
    from fusionjax.telemetry import CONSOLE, say

    chosen = stored.named(names, root, stored.find(root))
    say("\n".join(tables.compared(chosen)))
    if len(table := tables.scores(chosen)):
        CONSOLE.print(frames.for_screen(table, "scores"))


def remove(names: list[str], root: Path) -> None:
    from fusionjax.data.upkeep import in_words
    from fusionjax.runs import removal, stored
    from fusionjax.telemetry import say

    runs = stored.find(root)
    chosen = stored.named(names, root, runs)
    removal.require_unneeded(chosen, runs, root)
    for run in chosen:
        say(f"{run.folder}: {len(run.seeds)} seed(s), {in_words(run.size)}")
    if _YES.value:
        removal.remove(chosen)
    say(
        "removed; the ledger keeps its records"
        if _YES.value
        else f"may go, unless a service outside {root} forecasts with it; --yes removes it"
    )
