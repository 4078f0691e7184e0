"""Checkpoints: the whole state and what explains it, written whole or not at all."""

import contextlib
import dataclasses
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

from fusionjax import files
from fusionjax.errors import InputError
from fusionjax.parallel import processes
from fusionjax.parallel.rules import path_name
from fusionjax.train import events, fingerprint
from fusionjax.train.run_info import RunInfo
from fusionjax.train.state import TrainState

T = TypeVar("T")

_SHOWN = 50  # differing parameters listed before "… more"


class Checkpoints:
    """The checkpoints of one run folder. A context manager; leaving waits for the last save.

    Each holds sums of its arrays' bits and of its own description. One that cannot be read or
    differs from its sums is damaged: the newest that is whole takes its place, and says so.

    One training at a time: with ``create`` the folder is locked.

    Attributes:
      protected: steps that stay, however old.

    Raises:
      InputError: the folder holds none, cannot be written, or another training writes to it.
    """

    def __init__(self, folder: Path, keep: int = 1, *, create: bool = False) -> None:
        if not create and not (folder / "checkpoints").is_dir():
            raise InputError(
                f"{folder}: no checkpoints here; give the run folder that "
                "launch/train.py wrote (…/seed_0)"
            )
        self.folder, self.protected = folder, set[int]()
        self._damaged: dict[int, str] = {}  # what is wrong, by step
        self._create = create
        self._open = contextlib.ExitStack()
        try:
            if create and processes.first():
                self._open.enter_context(files.locked(folder, wait=False))
            self._manager = self._managed(keep)
        except BlockingIOError as e:
            raise InputError(
                f"{folder}: another training writes here; wait for it, or give another --workdir"
            ) from e
        except OSError as e:
            raise InputError(
                f"{folder}: cannot be written ({e.strerror or e}); give another --workdir"
            ) from e

    def _managed(self, keep: int) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(
            (self.folder / "checkpoints").absolute(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=_Newest(keep, lambda: self.protected), create=self._create
            ),
            item_names=("state", "info", "copies"),
            item_handlers={
                "state": _arrays(),
                "info": ocp.JsonCheckpointHandler(),
                "copies": _arrays(),
            },
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._open:
            try:
                self._manager.close()
            except Exception:
                if kind is None:
                    raise
                # An error is on its way already, and says more than that of the save it broke off.

    def latest(self) -> int | None:
        """The newest complete step that is not known to be damaged, or None."""
        return self._newest({})

    def save(
        self,
        step: int,
        state: TrainState,
        info: RunInfo,
        history: dict[str, Any] | None = None,
        copies: dict[str, TrainState] | None = None,
    ) -> str | None:
        """Writes in the background; an interrupted save leaves the step before it in place.

        Args:
          step: completed updates.
          state: of the run.
          info: what the checkpoint says about itself.
          history: of the run's losses.
          copies: further states to keep with this one.

        Returns:
          Why the save before this one failed, if it did.
        """
        if step == self.latest():
            return None
        told = info.to_json() | {"history": history, "sums": fingerprint.sums(state)}
        items = {"state": ocp.args.PyTreeSave(state)}
        if copies:
            told["sums_of_copies"] = fingerprint.sums(copies)
            items["copies"] = ocp.args.PyTreeSave(copies)
        items["info"] = ocp.args.JsonSave(told | {"check": _check(told)})
        failed = None
        for _ in range(2):  # the first call may only tell that the save before it failed
            try:
                self._manager.save(step, args=ocp.args.Composite(**items))
                break
            except Exception as e:
                failed = _reason(e)
        return failed

    def finish(self) -> None:
        """Waits for the last save.

        Raises:
          InputError: it failed; the one before it is there.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as e:
            self._manager.reload()  # it forgot those that the failed one was to replace
            kept = self.latest()
            there = "no checkpoint is" if kept is None else f"that of step {kept} is"
            raise InputError(
                f"{self.folder}: the last checkpoint could not be written ({_reason(e)}); "
                f"{there} there. Make room and run the same command again: it goes on from there"
            ) from e

    def info(self) -> RunInfo:
        """What the newest checkpoint says about itself."""
        return RunInfo.from_json(self._first_whole(self._told))

    def history(self) -> dict[str, Any] | None:
        """Of the run's losses, as the newest checkpoint holds it."""
        return self._first_whole(self._told)["history"]

    def sums(self) -> dict[str, int]:
        """Of the newest state's arrays, by their paths: equal where every bit is."""
        return self._first_whole(self._told)["sums"]

    def restore(self, abstract: TrainState) -> TrainState:
        """The newest state that is whole, on the shardings that ``abstract`` carries (any mesh).

        A training then moves newer ones, which are damaged, to ``damaged/``. Orbax can restore a
        mismatched tree in part and in silence, so every path, shape and dtype is compared first.

        Raises:
          InputError: the checkpoint is another model's; lists what differs.
        """
        state = self._first_whole(lambda step: self.restore_step(step, abstract))
        if self._create and self._damaged:
            self._set_aside()
        return state

    def restore_step(self, step: int, abstract: TrainState) -> TrainState:
        """The state of one step."""
        there = _signature(self._there(step))
        self._require_alike(step, there, _signature(abstract))
        state = self._read(step, "state", abstract)
        _require_sums(self._told(step)["sums"], fingerprint.sums(state))
        return state

    def restored(self, step: int, abstract: TrainState) -> TrainState | None:
        """The state of one step, or None where it is damaged or gone, which is told."""
        return self._or_told(lambda: self.restore_step(step, abstract), f"step {step}", step)

    def copies(self, step: int, abstract: TrainState) -> dict[str, TrainState]:
        """The further states that a step keeps, by name; none where they are damaged, as told."""

        def read() -> dict[str, TrainState]:
            told = self._told(step)
            if "sums_of_copies" not in told:
                return {}
            names = {path.split("/")[0] for path in told["sums_of_copies"]}
            kept = self._read(step, "copies", dict.fromkeys(sorted(names), abstract))
            _require_sums(told["sums_of_copies"], fingerprint.sums(kept))
            return kept

        return self._or_told(read, f"the best state kept with step {step}", step) or {}

    def averaged(self, abstract: Any) -> Any:
        """The newest averaged parameters alone, on the shardings that ``abstract`` carries.

        Raises:
          InputError: the checkpoint is another model's; lists what differs.
        """

        def read(step: int) -> Any:
            there = _signature(self._there(step)["ema_params"])
            self._require_alike(step, there, _signature(abstract))
            wanted = {"ema_params": abstract}
            with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
                got = reader.restore(
                    self._manager.directory / str(step) / "state",
                    args=_restore(wanted, partial_restore=True),
                )
            _require_sums(self._told(step)["sums"], fingerprint.sums(got))
            return got["ema_params"]

        return self._first_whole(read)

    def _or_told(self, read: Callable[[], T], what: str, step: int) -> T | None:
        try:
            return read()
        except (InputError, jax.errors.JaxRuntimeError):
            raise  # as in _first_whole
        except Exception as e:
            said = f"{self.folder}: {what} is damaged: {_reason(e)}; no way leads back to it"
            events.tell("C2", said, self.folder if self._create else None, step=step)
            return None

    def _there(self, step: int) -> Any:
        """What a step's state holds, by its files alone: of damage beside it nothing is asked."""
        reader = ocp.PyTreeCheckpointHandler()
        return reader.metadata(self._manager.directory / str(step) / "state").tree

    def _read(self, step: int, item: str, abstract: Any) -> Any:
        args = ocp.args.Composite(**{item: _restore(abstract)})
        return self._manager.restore(step, args=args)[item]

    def _told(self, step: int) -> dict[str, Any]:
        args = ocp.args.Composite(info=ocp.args.JsonRestore())
        told = dict(self._manager.restore(step, args=args).info)
        if told.pop("check", None) != _check(told):
            raise ValueError("its description is not what was written")
        return told

    def _first_whole(self, read: Callable[[int], T]) -> T:
        """What the newest step that can be read gives; those that cannot are told."""
        wrong: dict[int, str] = {}
        while (step := self._newest(wrong)) is not None:
            try:
                found = read(step)
            except (InputError, jax.errors.JaxRuntimeError):
                raise  # another model, or a device out of memory: the files are not at fault
            except Exception as e:  # Orbax itself raises bare ones
                wrong[step] = _reason(e)
                continue
            record = self.folder if self._create else None
            for bad, why in wrong.items():
                events.tell("C2", f"{self.folder}: step {bad} is damaged: {why}", record, step=bad)
            if wrong:
                said = f"{self.folder}: step {step} takes its place"
                events.tell("C3", said, record, step=step)
            self._damaged |= wrong
            return found
        if wrong:
            lines = "".join(f"\n  step {bad}: {why}" for bad, why in wrong.items())
            raise InputError(
                f"{self.folder}: no checkpoint is whole:{lines}\n"
                "Bring the folder back from a copy, or train again with another --workdir"
            )
        raise InputError(f"{self.folder}: holds no complete checkpoint; train again")

    def _newest(self, wrong: dict[int, str]) -> int | None:
        return max(set(self._manager.all_steps()) - {*self._damaged, *wrong}, default=None)

    def _set_aside(self) -> None:
        """Moves what is damaged out of the way of what will be saved; it stays as evidence."""
        with processes.first_alone():
            if processes.first():
                for step in self._damaged:
                    aside = self.folder / "damaged" / f"{step}_{time.time_ns()}"
                    aside.parent.mkdir(exist_ok=True)
                    (self.folder / "checkpoints" / str(step)).rename(aside)
            self._manager.reload()
        self._damaged = {}

    def _require_alike(self, step: int, there: dict[str, str], here: dict[str, str]) -> None:
        differing = sorted(set(there.items()) ^ set(here.items()))
        if not differing:
            return
        paths = sorted(
            {
                path
                for path, _ in differing
                if "/mu/" not in path and "/nu/" not in path and not path.startswith("ema_params/")
            }
        )
        lines = [
            f"  {p}: checkpoint {there.get(p, 'has none')}, model {here.get(p, 'has none')}"
            for p in paths[:_SHOWN]
        ]
        more = f"\n  … {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        raise InputError(
            f"{self.folder}: step {step} is of another model; "
            f"{len(paths)} parameters differ:\n"
            + "\n".join(lines)
            + more
            + "\nUse the config it was trained with, or another --workdir"
        )


@dataclasses.dataclass
class _Newest(ocp.checkpoint_managers.PreservationPolicy):
    """The last few checkpoints stay, and those that are protected."""

    count: int
    protected: Callable[[], set[int]]

    def should_preserve(self, checkpoints: Any, *, context: Any) -> list[bool]:
        """Which of some checkpoints, oldest first."""
        del context
        last = len(checkpoints) - self.count
        stay = self.protected()
        return [i >= last or c.step in stay for i, c in enumerate(checkpoints)]


def _arrays() -> ocp.PyTreeCheckpointHandler:
    # By itself Orbax 0.12.8 cuts every replicated array into a slice a device, however small, and
    # each slice is a program to compile: hundreds at the first save on a mesh.
    handler = ocp.type_handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=2**20)
    return ocp.PyTreeCheckpointHandler(
        type_handler_registry=ocp.type_handlers.create_type_handler_registry((jax.Array, handler))
    )


def _restore(abstract: Any, **options: bool) -> ocp.args.PyTreeRestore:
    as_wanted = ocp.checkpoint_utils.construct_restore_args(abstract)
    return ocp.args.PyTreeRestore(abstract, restore_args=as_wanted, **options)


def _require_sums(stored: dict[str, int], found: dict[str, int]) -> None:
    other = [path for path, value in found.items() if stored.get(path) != value]
    if other:
        more = f" and {len(other) - 1} more arrays are" if len(other) > 1 else " is"
        raise ValueError(f"{other[0]}{more} not what was written")


def _check(told: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(told, sort_keys=True).encode())


def _reason(e: Exception) -> str:
    """Orbax's and TensorStore's messages hold pages, and what the system said at their end."""
    if isinstance(e, OSError) and e.strerror:
        return e.strerror
    first = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
    return first.rsplit(": ", 1)[-1] if "os_error_code" in first else first[:160]


def _signature(tree: Any) -> dict[str, str]:
    return {
        path_name(p): f"{tuple(x.shape)} {x.dtype}"
        for p, x in jax.tree_util.tree_leaves_with_path(tree)
    }
