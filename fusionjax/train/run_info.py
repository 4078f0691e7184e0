"""A run's description: config, data, parent; and which keys may change when it resumes."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from fusionjax.config import Config, changes
from fusionjax.data.windows import Scaler
from fusionjax.errors import InputError

# Keys that may change when a run resumes: they alter no number that training computes.
_FREE = (
    "name",
    "mesh",
    "model.remat",  # what is stored and what is recomputed: the same arithmetic
    "selection",
    "evaluate",
    "drift",
    "toy",
    # Copied into train.* when they take effect; replay_fraction is not.
    "finetune.split",
    "finetune.steps",
    "finetune.learning_rate",
    "finetune.warmup_steps",
    "finetune.frozen",
    "finetune.lora_rank",
    "finetune.promotion_sessions",
    "finetune.update_interval",
    "finetune.retrain_interval",
    "data.root",
    "data.prepared",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.log_every",
    "train.hang_seconds",
    "guard.max_quarantined",
)


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """The description of a run that a checkpoint stores beside the arrays."""

    config: Config
    fingerprint: str  # of the prepared data it was trained on
    scaler: Scaler
    trained_from: str  # first target day of all it learned from, its parents' rows included
    trained_until: str  # last day whose labels it may have seen
    parent: str | None  # run folder and step it was fine-tuned from
    # State of the service's drift detectors at that time, from which another service continues.
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
            raw.get("watch"),
        )


def require_same_run(stored: RunInfo, new: RunInfo, folder: Path) -> None:
    """Refuses to continue a run under settings or data that would change its numbers.

    Raises:
      InputError: naming each differing key with both values.
    """
    if stored.fingerprint != new.fingerprint:
        raise InputError(
            f"{folder}: was trained on data {stored.fingerprint[:12]}, now it is "
            f"{new.fingerprint[:12]}; fine-tune from it with fusionjax finetune, or "
            "start a new --workdir"
        )
    for name in ("parent", "scaler", "trained_from", "trained_until"):
        was, now = getattr(stored, name), getattr(new, name)
        if was != now:
            raise InputError(
                f"{folder}: holds a run with {name} {was}, asked for {now}; use another --workdir"
            )
    require_same_config(stored.config, new.config, folder)


def require_same_config(stored: Config, new: Config, folder: Path) -> None:
    """Refuses to continue a run under settings that would change its numbers; further extensions
    change none of those that it has.

    Raises:
      InputError: naming each differing key with both values.
    """
    done = stored.train.extensions
    prolonged = new.train.extensions[: len(done)] == done
    free = (*_FREE, "train.extensions") if prolonged else _FREE
    lines = [f"  {x}" for x in changes(stored, new) if not x.startswith(free)]
    if lines:
        longer = any(x.startswith("  train.steps") for x in lines)
        raise InputError(
            f"{folder}: holds a run of another config:\n"
            + "\n".join(lines)
            + "\nUse the same settings to resume, "
            + "--extend=STEPS to train it further, " * longer
            + "or another --workdir"
        )
