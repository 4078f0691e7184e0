"""Checkpoints: the state and its description, written completely or not at all."""

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

_MAX_LISTED = 50  # differing parameters listed before "… more"


class Checkpoints:
    """The checkpoints of one run folder. A context manager; leaving waits for the last save.

    Each holds checksums of its arrays' bits and of its description. One that cannot be read or
    does not match them is damaged: the newest intact one is used, and an event reports it.

    With ``create`` the folder is locked: one training at a time.

    Attributes:
      protected: steps that are never deleted.

    Raises:
      InputError: the folder holds none, cannot be written, or another training writes to it.
    """

    def __init__(self, folder: Path, keep: int = 1, *, create: bool = False) -> None:
        if not create and not (folder / "checkpoints").is_dir():
            raise InputError(
                f"{folder}: no checkpoints here; give the run folder that "
                "fusionjax train wrote (…/seed_0)"
            )
        self.folder, self.protected = folder, set[int]()
        self._damaged: dict[int, str] = {}  # reason by step
        self._create = create
        self._open = contextlib.ExitStack()
        try:
            if create and processes.first():
                self._open.enter_context(files.locked(folder, wait=False))
            self._manager = self._make_manager(keep)
        except BlockingIOError as e:
            raise InputError(
                f"{folder}: another training writes here; wait for it, or give another --workdir"
            ) from e
        except OSError as e:
            raise InputError(
                f"{folder}: cannot be written ({e.strerror or e}); give another --workdir"
            ) from e

    def _make_manager(self, keep: int) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(
            (self.folder / "checkpoints").absolute(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=_Newest(keep, lambda: self.protected), create=self._create
            ),
            item_names=("state", "info", "copies"),
            item_handlers={
                "state": _array_handler(),
                "info": ocp.JsonCheckpointHandler(),
                "copies": _array_handler(),
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
                # The error that ended the block says more than that of the interrupted save.

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
        """Writes in the background; an interrupted save leaves the previous checkpoint in place.

        Args:
          step: completed updates.
          state: of the run.
          info: the run's description.
          history: of the run's losses.
          copies: further states to store with this one.

        Returns:
          Why the previous save failed; None if it did not.
        """
        if step == self.latest():
            return None
        description = info.to_json() | {"history": history, "sums": fingerprint.sums(state)}
        items = {"state": ocp.args.PyTreeSave(state)}
        if copies:
            description["sums_of_copies"] = fingerprint.sums(copies)
            items["copies"] = ocp.args.PyTreeSave(copies)
        items["info"] = ocp.args.JsonSave(description | {"check": _checksum(description)})
        failed = None
        for _ in range(2):  # the first call may only raise the error of the previous save
            try:
                self._manager.save(step, args=ocp.args.Composite(**items))
                break
            except Exception as e:
                failed = _reason(e)
        return failed

    def finish(self) -> None:
        """Waits for the last save.

        Raises:
          InputError: it failed; names the newest checkpoint that remains.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as e:
            self._manager.reload()  # it had dropped those that the failed save was to replace
            latest = self.latest()
            remaining = "no checkpoint is" if latest is None else f"that of step {latest} is"
            raise InputError(
                f"{self.folder}: the last checkpoint could not be written ({_reason(e)}); "
                f"{remaining} there. Make room and run the same command again: it resumes from it"
            ) from e

    def info(self) -> RunInfo:
        """The newest checkpoint's description of its run.

        Raises:
          InputError: none is whole, or another version wrote settings that are not known here.
        """
        stored = self._newest_intact(self._description)
        try:
            return RunInfo.from_json(stored)
        except (InputError, KeyError, TypeError) as e:
            raise InputError(
                f"{self.folder}: was written by another version of fusionjax, whose settings this "
                f"one cannot read ({e}); use the version that trained it"
            ) from e

    def history(self) -> dict[str, Any] | None:
        """The history of the run's losses in the newest checkpoint."""
        return self._newest_intact(self._description)["history"]

    def sums(self) -> dict[str, int]:
        """Checksums of the newest state's arrays by path; equal where all bits are equal."""
        return self._newest_intact(self._description)["sums"]

    def restore(self, abstract: TrainState) -> TrainState:
        """The newest intact state, on the shardings of ``abstract`` (any mesh).

        A training moves newer, damaged ones to ``damaged/``. Orbax can silently restore only part
        of a mismatched tree, so every path, shape and dtype is compared first.

        Raises:
          InputError: the checkpoint is another model's; lists what differs.
        """
        state = self._newest_intact(lambda step: self.restore_step(step, abstract))
        if self._create and self._damaged:
            self._move_damaged()
        return state

    def restore_step(self, step: int, abstract: TrainState) -> TrainState:
        """The state of one step."""
        self._require_same_shapes(step, _shapes(self._metadata(step)), _shapes(abstract))
        state = self._read(step, "state", abstract)
        _require_checksums(self._description(step)["sums"], fingerprint.sums(state))
        return state

    def restored(self, step: int, abstract: TrainState) -> TrainState | None:
        """The state of one step; None, with an event, where it is damaged or gone."""
        return self._or_report(lambda: self.restore_step(step, abstract), f"step {step}", step)

    def copies(self, step: int, abstract: TrainState) -> dict[str, TrainState]:
        """The further states stored with a step, by name; none, with an event, if damaged."""

        def read() -> dict[str, TrainState]:
            sums = self._description(step).get("sums_of_copies", {})
            if not sums:
                return {}
            names = {path.split("/")[0] for path in sums}
            copies = self._read(step, "copies", dict.fromkeys(sorted(names), abstract))
            _require_checksums(sums, fingerprint.sums(copies))
            return copies

        return self._or_report(read, f"the best state kept with step {step}", step) or {}

    def averaged(self, abstract: Any) -> Any:
        """The newest averaged parameters alone, on the shardings of ``abstract``.

        Raises:
          InputError: the checkpoint is another model's; lists what differs.
        """

        def read(step: int) -> Any:
            stored = _shapes(self._metadata(step)["ema_params"])
            self._require_same_shapes(step, stored, _shapes(abstract))
            with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
                restored = reader.restore(
                    self._manager.directory / str(step) / "state",
                    args=_restore({"ema_params": abstract}, partial_restore=True),
                )
            _require_checksums(self._description(step)["sums"], fingerprint.sums(restored))
            return restored["ema_params"]

        return self._newest_intact(read)

    def _or_report(self, read: Callable[[], T], what: str, step: int) -> T | None:
        try:
            return read()
        except (InputError, jax.errors.JaxRuntimeError):
            raise  # as in _newest_intact
        except Exception as e:
            text = f"{self.folder}: {what} is damaged: {_reason(e)}; training cannot go back to it"
            events.tell("C2", text, self.folder if self._create else None, step=step)
            return None

    def _metadata(self, step: int) -> Any:
        """Shapes and dtypes of a step's state; reads no other item of the checkpoint."""
        reader = ocp.PyTreeCheckpointHandler()
        return reader.metadata(self._manager.directory / str(step) / "state").tree

    def _read(self, step: int, item: str, abstract: Any) -> Any:
        args = ocp.args.Composite(**{item: _restore(abstract)})
        return self._manager.restore(step, args=args)[item]

    def _description(self, step: int) -> dict[str, Any]:
        args = ocp.args.Composite(info=ocp.args.JsonRestore())
        description = dict(self._manager.restore(step, args=args).info)
        if description.pop("check", None) != _checksum(description):
            raise ValueError("its description is not what was written")
        return description

    def _newest_intact(self, read: Callable[[int], T]) -> T:
        """``read`` of the newest intact step; reports the damaged ones that it passed over."""
        reasons: dict[int, str] = {}
        while (step := self._newest(reasons)) is not None:
            try:
                result = read(step)
            except (InputError, jax.errors.JaxRuntimeError):
                raise  # another model, or out of device memory: the files are intact
            except Exception as e:  # Orbax itself raises bare ones
                reasons[step] = _reason(e)
                continue
            record = self.folder if self._create else None
            for bad, why in reasons.items():
                events.tell("C2", f"{self.folder}: step {bad} is damaged: {why}", record, step=bad)
            if reasons:
                events.tell("C3", f"{self.folder}: using step {step} instead", record, step=step)
            self._damaged |= reasons
            return result
        if reasons:
            lines = "".join(f"\n  step {bad}: {why}" for bad, why in reasons.items())
            raise InputError(
                f"{self.folder}: every checkpoint is damaged:{lines}\n"
                "Restore the folder from a backup, or train again with another --workdir"
            )
        raise InputError(f"{self.folder}: holds no complete checkpoint; train again")

    def _newest(self, excluded: dict[int, str]) -> int | None:
        return max(set(self._manager.all_steps()) - {*self._damaged, *excluded}, default=None)

    def _move_damaged(self) -> None:
        """Moves damaged checkpoints to ``damaged/``: later saves need their place."""
        with processes.first_alone():
            if processes.first():
                for step in self._damaged:
                    target = self.folder / "damaged" / f"{step}_{time.time_ns()}"
                    target.parent.mkdir(exist_ok=True)
                    (self.folder / "checkpoints" / str(step)).rename(target)
            self._manager.reload()
        self._damaged = {}

    def _require_same_shapes(
        self, step: int, stored: dict[str, str], model: dict[str, str]
    ) -> None:
        differing = sorted(set(stored.items()) ^ set(model.items()))
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
            f"  {p}: checkpoint {stored.get(p, 'has none')}, model {model.get(p, 'has none')}"
            for p in paths[:_MAX_LISTED]
        ]
        more = f"\n  … {len(paths) - _MAX_LISTED} more" if len(paths) > _MAX_LISTED else ""
        raise InputError(
            f"{self.folder}: step {step} is of another model; "
            f"{len(paths)} parameters differ:\n"
            + "\n".join(lines)
            + more
            + "\nUse the config it was trained with, or another --workdir"
        )


@dataclasses.dataclass
class _Newest(ocp.checkpoint_managers.PreservationPolicy):
    """Keeps the newest ``count`` checkpoints and the protected ones."""

    count: int
    protected: Callable[[], set[int]]

    def should_preserve(self, checkpoints: Any, *, context: Any) -> list[bool]:
        """Which of ``checkpoints``, oldest first, to keep."""
        del context
        first_kept, protected = len(checkpoints) - self.count, self.protected()
        return [i >= first_kept or c.step in protected for i, c in enumerate(checkpoints)]


def _array_handler() -> ocp.PyTreeCheckpointHandler:
    # By default Orbax 0.12.8 cuts every replicated array, however small, into one slice a device,
    # and compiles a program for each: hundreds at the first save on a mesh.
    handler = ocp.type_handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=2**20)
    return ocp.PyTreeCheckpointHandler(
        type_handler_registry=ocp.type_handlers.create_type_handler_registry((jax.Array, handler))
    )


def _restore(abstract: Any, **options: bool) -> ocp.args.PyTreeRestore:
    restore_args = ocp.checkpoint_utils.construct_restore_args(abstract)
    return ocp.args.PyTreeRestore(abstract, restore_args=restore_args, **options)


def _require_checksums(stored: dict[str, int], actual: dict[str, int]) -> None:
    differing = [path for path, value in actual.items() if stored.get(path) != value]
    if differing:
        more = f" and {len(differing) - 1} more arrays are" if len(differing) > 1 else " is"
        raise ValueError(f"{differing[0]}{more} not what was written")


def _checksum(description: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(description, sort_keys=True).encode())


def _reason(e: Exception) -> str:
    """One line of an error; TensorStore's long messages end with the operating system's."""
    if isinstance(e, OSError) and e.strerror:
        return e.strerror
    first = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
    return first.rsplit(": ", 1)[-1] if "os_error_code" in first else first[:160]


def _shapes(tree: Any) -> dict[str, str]:
    return {
        path_name(p): f"{tuple(x.shape)} {x.dtype}"
        for p, x in jax.tree_util.tree_leaves_with_path(tree)
    }
