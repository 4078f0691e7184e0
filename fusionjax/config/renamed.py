"""Keys that were called otherwise before: a stored config is translated, a user's is refused."""

from typing import Any

from fusionjax.errors import InputError

KEYS = {  # heads in the order of a model's outputs
    "targets.direction": "targets.direction.horizons",
    "targets.classes": "targets.direction.classes",
    "targets.up": "targets.direction.up",
    "targets.down": "targets.direction.down",
    "loss.direction": "targets.direction.weight",
    "targets.returns": "targets.returns.horizons",
    "targets.quantiles": "targets.returns.quantiles",
    "loss.returns": "targets.returns.weight",
    "targets.volatility": "targets.volatility.horizons",
    "loss.volatility": "targets.volatility.weight",
    "augment.audio_band": "augment.audio_frequency_mask",
    "augment.audio_time": "augment.audio_time_mask",
    "data.accepted": "data.accepted_findings",
    "data.audio_hertz": "data.audio_sample_rate",
    "data.frames": "data.max_frames",
    "data.media_seconds": "data.max_media_seconds",
    "distill.absorb_share": "distill.refit_fraction",
    "distill.anchor_share": "distill.meta_fraction",
    "distill.burst_steps": "distill.initial_update_steps",
    "distill.every": "distill.update_interval",
    "distill.feature_cost": "distill.feature_penalty",
    "distill.modality_cost": "distill.modality_penalty",
    "distill.prior": "distill.prior_strength",
    "evaluate.leak_answer": "evaluate.leak_alarm_override",
    "finetune.every": "finetune.update_interval",
    "finetune.gate_sessions": "finetune.promotion_sessions",
    "finetune.rank": "finetune.lora_rank",
    "finetune.replay_share": "finetune.replay_fraction",
    "finetune.retrain_every": "finetune.retrain_interval",
    "finetune.teacher": "finetune.distillation_weight",
    "finetune.to_parent": "finetune.l2_sp",
    "guard.quarantine": "guard.max_quarantined",
    "guard.rate": "guard.lr_backoff",
    "guard.rebound": "guard.loss_zscore",
    "guard.rollbacks": "guard.max_rollbacks",
    "guard.spike": "guard.grad_norm_zscore",
    "guard.spikes_in_row": "guard.max_consecutive_skips",
    "ladder.rungs": "ladder.subsets",
    "train.coreset_share": "train.coreset_fraction",
    "train.rank": "train.lora_rank",
}


def now_called(key: str) -> str:
    """The end of a message about an unknown key: what it is called now, if it was a key before.

    Args:
      key: dotted, or its last part where a message has only that.
    """
    now = {old: new for old, new in KEYS.items() if f".{old}".endswith(f".{key}")}
    return "".join(f"; {old} is now {new}" for old, new in now.items())


def refuse(key: str, value: Any) -> None:
    """Raises InputError for a dotted key that has another name now; heads are no plain values."""
    if key in KEYS and not isinstance(value, dict):
        raise InputError(f"config.{key} is called config.{KEYS[key]} now; give it under that name")


def translated(stored: Any, sections: set[str]) -> Any:
    """A stored config, parsed JSON, with today's keys; in values that name keys as well.

    Args:
      stored: anything; what is no dict is given back.
      sections: of today's schema. The section ``ladder``, which all configs had before it belonged
        to studies, is left out where it is none of them.
    """
    if not isinstance(stored, dict):
        return stored
    config = _naming(stored)
    if "ladder" not in sections:
        config.pop("ladder", None)
    moved = {}  # all are taken before any is put, as some move to where others were
    for old, new in KEYS.items():
        section, name = old.split(".")
        held = config.get(section)
        if isinstance(held, dict) and not isinstance(held.get(name, {}), dict):
            moved[new] = held.pop(name)
    for key, value in moved.items():
        *parents, leaf = key.split(".")
        node = config
        for name in parents:
            node = node.setdefault(name, {}) if isinstance(node, dict) else None
        if isinstance(node, dict):  # what has another form is refused by who reads it
            node[leaf] = value
    return config


def _naming(value: Any) -> Any:
    """A value, in which the names of keys are those of today."""
    if isinstance(value, dict):
        return {KEYS.get(name, name): _naming(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_naming(inner) for inner in value]
    return KEYS.get(value, value) if isinstance(value, str) else value
