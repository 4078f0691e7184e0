"""Former config keys: renamed or dropped in stored configs, and refused in a user's."""

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

DROPPED = {  # no key follows; each with the reason that a user is told
    "distill.elimination_margin": "the margin follows from the number of modalities asked "
    "(docs/fusion.md); distill.keep names those that must stay",
    "evaluate.bootstrap_samples": "intervals are no longer resampled",
    "evaluate.block_sessions": "intervals are no longer resampled",
}


def now_called(key: str) -> str:
    """The end of a message about an unknown key: its new name, if it was renamed.

    Args:
      key: dotted, or only its last part.
    """
    renamed = {old: new for old, new in KEYS.items() if f".{old}".endswith(f".{key}")}
    return "".join(f"; {old} is now {new}" for old, new in renamed.items())


def refuse(key: str, value: Any) -> None:
    """Raises InputError for a former dotted key; a dict is a section that has kept its name."""
    if key in DROPPED:
        raise InputError(f"config.{key} is gone: {DROPPED[key]}; leave it out")
    if key in KEYS and not isinstance(value, dict):
        raise InputError(f"config.{key} is called config.{KEYS[key]} now; give it under that name")


def translated(stored: Any, sections: set[str]) -> Any:
    """A stored config, parsed from JSON, with the present keys; also in values that name keys.

    Args:
      stored: anything; other values than dicts are returned unchanged.
      sections: of the present schema. The former section ``ladder`` is dropped if it is not one of
        them.
    """
    if not isinstance(stored, dict):
        return stored
    config = _with_new_names(stored)
    if isinstance(config.get("distill"), dict):
        config["distill"].setdefault("experts", ())  # a run from before they were there
    if "ladder" not in sections:
        config.pop("ladder", None)
    moved = {}  # all are removed before any is inserted, as some new names are old ones
    for old, new in KEYS.items():
        section, name = old.split(".")
        values = config.get(section)
        if isinstance(values, dict) and not isinstance(values.get(name, {}), dict):
            moved[new] = values.pop(name)
    for dotted in DROPPED:
        section, name = dotted.split(".")
        if isinstance(config.get(section), dict):
            config[section].pop(name, None)
    for key, value in moved.items():
        *parents, leaf = key.split(".")
        node = config
        for name in parents:
            node = node.setdefault(name, {}) if isinstance(node, dict) else None
        if isinstance(node, dict):  # any other form is refused later
            node[leaf] = value
    return config


def _with_new_names(value: Any) -> Any:
    """A value with the names of keys replaced by the present ones."""
    if isinstance(value, dict):
        return {KEYS.get(name, name): _with_new_names(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_new_names(inner) for inner in value]
    return KEYS.get(value, value) if isinstance(value, str) else value
