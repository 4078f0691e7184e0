"""Keys that were called otherwise before: a stored config is translated, a user's is refused."""

from typing import Any

KEYS = {
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
_LEARNED = "distill.learned"
_PARTS = {"rater": "quality"}  # of the fusion's weights, which that key lists


def now_called(key: str) -> str:
    """The end of a message about an unknown key: what it is called now, if it was a key before.

    Args:
      key: dotted, or its last part where a message has only that.
    """
    now = {old: new for old, new in KEYS.items() if f".{old}".endswith(f".{key}")}
    return "".join(f"; {old} is now {new}" for old, new in now.items())


def translated(stored: Any, key: str = "") -> Any:
    """A stored config with today's keys, in values that name keys as well.

    Args:
      stored: parsed JSON, nested or by dotted keys.
      key: the dotted key that it is the value of.
    """
    if isinstance(stored, dict):
        inside = {f"{key}.{name}".removeprefix("."): value for name, value in stored.items()}
        return {
            KEYS.get(name, name).removeprefix(f"{key}."): translated(value, name)
            for name, value in inside.items()
        }
    if isinstance(stored, list):
        return [translated(value, key if key == _LEARNED else "") for value in stored]
    if isinstance(stored, str):
        return (_PARTS if key == _LEARNED else KEYS).get(stored, stored)
    return stored
