"""Removes runs, unless something needs them."""

import contextlib
from pathlib import Path

from fusionjax import files
from fusionjax.errors import InputError
from fusionjax.runs import stored
from fusionjax.runs.stored import StoredRun


def require_unneeded(chosen: list[StoredRun], runs: list[StoredRun], root: Path) -> None:
    """Checks that runs can go, and all that their folders hold.

    Args:
      chosen: to be removed.
      runs: all under ``root``.
      root: the folder of the runs.

    Raises:
      InputError: one is training, serves, has a child that is to stay, or lies elsewhere.
    """
    home = root.resolve()
    for run in chosen:
        if home not in run.folder.resolve().parents:
            raise InputError(f"{run.folder}: is not inside {root}; only what is there is removed")
    going = [run for run in runs if any(_holds(c, run) for c in chosen)]
    serving = stored.services(root)
    for run in going:
        if run.state == stored.TRAINING:
            raise InputError(f"{run.folder}: is being trained; stop that first")
        if serves := [s for s, used in serving.items() if run.folder.resolve() in used]:
            raise InputError(
                f"{run.folder}: serves {serves[0]}, or would after a rollback; remove that service "
                "first"
            )
        left = [c for c in stored.children(run, runs) if c not in going]
        if left:
            raise InputError(
                f"{run.folder}: {left[0].folder} was fine-tuned from it; name both to remove both"
            )


def remove(chosen: list[StoredRun]) -> None:
    """Removes run folders; links in them go, not what they lead to.

    Raises:
      InputError: a training has begun in one.
    """
    for run in chosen:
        if not run.folder.exists():  # inside another one that is gone
            continue
        with contextlib.ExitStack() as held:
            for seed in run.seeds:
                try:
                    held.enter_context(files.locked(seed, wait=False))
                except BlockingIOError as e:
                    raise InputError(f"{run.folder}: is being trained; stop that first") from e
            files.remove_folder(run.folder)


def _holds(outer: StoredRun, inner: StoredRun) -> bool:
    return outer.folder == inner.folder or outer.folder in inner.folder.parents
