"""Checkpoints: the whole state and what explains it, written whole or not at all."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from fusionjax import files
from fusionjax.config import Config
from fusionjax.data.windows import Scaler
from fusionjax.errors import InputError
from fusionjax.parallel import processes
from fusionjax.parallel.rules import path_name
from fusionjax.train.state import TrainState

# Keys that may change between two starts of one run: they alter no number that training computes.
_FREE = (
    "name",
    "mesh",
    "selection",
    "evaluate",
    "ladder",
    "drift",
    "toy",
    # Copied into train.* when they take effect; replay_share is not.
    "finetune.split",
    "finetune.steps",
    "finetune.learning_rate",
    "finetune.warmup_steps",
    "finetune.frozen",
    "finetune.rank",
    "finetune.gate_sessions",
    "finetune.every",
    "finetune.retrain_every",
    "data.root",
    "data.prepared",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.log_every",
    "train.hang_seconds",
)
_SHOWN = 50  # differing parameters listed before "… more"


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """What a checkpoint says about itself beside the arrays."""

    config: Config
    fingerprint: str  # of the prepared data it was trained on
    scaler: Scaler
    trained_from: str  # first target day of all it learned from, its parents' rows included
    trained_until: str  # last day whose labels it may have seen
    parent: str | None  # run folder and step it was fine-tuned from
    # The drift detectors' state when a service made it, with which another service goes on.
    watch: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "config": json.loads(self.config.to_json()),
            "fingerprint": self.fingerprint,
            "scaler": dataclasses.asdict(self.scaler),
            "trained_from": self.trained_from,
            "trained_until": self.trained_until,
            "parent": self.parent,
            "watch": self.watch,
        }

    @staticmethod
    def from_json(raw: dict[str, Any]) -> "RunInfo":
        return RunInfo(
            Config.from_json(raw["config"]),
            raw["fingerprint"],
            Scaler(**raw["scaler"]),
            raw["trained_from"],
            raw["trained_until"],
            raw["parent"],
            raw["watch"],
        )


class Checkpoints:
    """The checkpoints of one run folder. A context manager; leaving waits for the last save.

    One training at a time: with ``create`` the folder is locked.

    Raises:
      InputError: the folder holds none, or another training writes to it.
    """

    def __init__(self, folder: Path, keep: int = 1, *, create: bool = False) -> None:
        if not create and not (folder / "checkpoints").is_dir():
            raise InputError(
                f"{folder}: no checkpoints here; give the run folder that "
                "launch/train.py wrote (…/seed_0)"
            )
        self.folder = folder
        self._open = contextlib.ExitStack()
        if create and processes.first():
            try:
                self._open.enter_context(files.locked(folder, wait=False))
            except BlockingIOError as e:
                raise InputError(
                    f"{folder}: another training writes here; wait for it, or give another "
                    "--workdir"
                ) from e
        self._manager = ocp.CheckpointManager(
            (folder / "checkpoints").absolute(),
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=create),
            item_names=("state", "info"),
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "info": ocp.JsonCheckpointHandler(),
            },
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        with self._open:
            self._manager.close()

    def latest(self) -> int | None:
        """The newest complete step, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: TrainState, info: RunInfo) -> None:
        """Writes in the background; an interrupted save leaves the step before it in place."""
        if step != self.latest():
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), info=ocp.args.JsonSave(info.to_json())
                ),
            )

    def info(self) -> RunInfo:
        """What the newest checkpoint says about itself."""
        restored = self._manager.restore(
            self._newest(), args=ocp.args.Composite(info=ocp.args.JsonRestore())
        )
        return RunInfo.from_json(restored.info)

    def restore(self, abstract: TrainState) -> TrainState:
        """The newest state, on the shardings that ``abstract`` carries (any mesh).

        Orbax can restore a mismatched tree in part and in silence, so every path, shape and dtype
        is compared first.

        Raises:
          InputError: the checkpoint is another model's; lists what differs.
        """
        step = self._newest()
        there = _signature(self._manager.item_metadata(step).state.tree)
        self._require_alike(step, there, _signature(abstract))
        return self._manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        ).state

    def averaged(self, abstract: Any) -> Any:
        """The newest averaged parameters alone, on the shardings that ``abstract`` carries.

        Raises:
          InputError: the checkpoint is another model's; lists what differs.
        """
        step = self._newest()
        there = _signature(self._manager.item_metadata(step).state.tree["ema_params"])
        self._require_alike(step, there, _signature(abstract))
        wanted = {"ema_params": abstract}
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
            return reader.restore(
                self._manager.directory / str(step) / "state",
                args=ocp.args.PyTreeRestore(
                    wanted,
                    restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
                    partial_restore=True,
                ),
            )["ema_params"]

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

    def _newest(self) -> int:
        step = self.latest()
        if step is None:
            raise InputError(f"{self.folder}: holds no complete checkpoint; train again")
        return step


def require_same_run(stored: RunInfo, new: RunInfo, folder: Path) -> None:
    """Refuses to continue a run under settings or data that would change its numbers.

    Raises:
      InputError: naming each differing key with both values.
    """
    if stored.fingerprint != new.fingerprint:
        raise InputError(
            f"{folder}: was trained on data {stored.fingerprint[:12]}, now it is "
            f"{new.fingerprint[:12]}; fine-tune from it with launch/finetune.py, or "
            "start a new --workdir"
        )
    for name in ("parent", "scaler", "trained_from", "trained_until"):
        was, asked = getattr(stored, name), getattr(new, name)
        if was != asked:
            raise InputError(
                f"{folder}: holds a run with {name} {was}, asked for {asked}; use another --workdir"
            )
    old, now = (_flatten(json.loads(i.config.to_json())) for i in (stored, new))
    lines = [
        f"  {k}: was {old.get(k)}, now {now.get(k)}"
        for k in sorted(old | now)
        if old.get(k) != now.get(k) and not k.startswith(_FREE)
    ]
    if lines:
        raise InputError(
            f"{folder}: holds a run of another config:\n"
            + "\n".join(lines)
            + "\nUse the same settings to resume, or another --workdir"
        )


def _signature(tree: Any) -> dict[str, str]:
    return {
        path_name(p): f"{tuple(x.shape)} {x.dtype}"
        for p, x in jax.tree_util.tree_leaves_with_path(tree)
    }


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        inner = isinstance(value, dict)
        flat |= _flatten(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat
