"""The sections of a run's settings, as frozen dataclasses; configs/base.py explains every key."""

import dataclasses
from typing import Any, Literal

STORED_TOKENS = 128  # of each text, when it is prepared


@dataclasses.dataclass(frozen=True)
class DataConfig:
    source: str
    root: str
    prepared: str
    calendar: str
    decision_delay_minutes: int
    min_history: int
    image_size: tuple[int, int]
    audio_hertz: int
    audio_seconds: float
    video_frames: int
    video_size: tuple[int, int]
    media_seconds: float
    frames: int
    frame_features: int
    splits: dict[str, tuple[str, str]]
    accepted: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    width: int
    layers: int
    heads: int
    mlp_ratio: int
    attention: Literal["window", "linear"]
    attention_window: int
    fusion: str  # of registry.FUSIONS
    confidence_threshold: float
    dropout: float
    compute_dtype: Literal["float32", "bfloat16"]
    remat: Literal["layer", "products"]


@dataclasses.dataclass(frozen=True)
class LossConfig:
    quality_rank: float
    gradient_modulation: float


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    anchor_share: float
    absorb_share: float
    learned: tuple[str, ...]
    warmup_steps: int
    burst_steps: int
    every: int
    learning_rate: float
    soft_labels: float
    modality_cost: float
    feature_cost: float
    prior: float
    elimination_margin: float


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    split: str
    steps: int
    global_batch_size: int
    grad_accum_steps: int
    learning_rate: float
    pretrained_rate: float
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    ema_decay: float
    modality_dropout: float
    frozen: tuple[str, ...]
    rank: int
    balance: str
    coreset_share: float
    coreset_by: str
    checkpoint_every: int
    keep_checkpoints: int
    log_every: int
    hang_seconds: float


@dataclasses.dataclass(frozen=True)
class GuardConfig:
    window: int
    spike: float
    spikes_in_row: int
    rebound: float
    rate: float
    rollbacks: int
    memory_bytes: float
    quarantine: int


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    numeric_jitter: float
    numeric_scale: float
    numeric_slice: float
    numeric_permute: float
    numeric_groups: tuple[tuple[str, ...], ...]
    text_dropout: float
    author_masking: float
    image_shift: int
    image_flip: float
    image_cutout: float
    audio_time: float
    audio_band: float


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    data: int
    fsdp: int
    tensor: int


@dataclasses.dataclass(frozen=True)
class SelectionConfig:
    scheme: str
    folds: int
    fold_sessions: int
    held_out: int
    embargo: int


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    method: str
    space: tuple[tuple[str, Any], ...]
    points: int
    seeds: int


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    split: str
    bootstrap_samples: int
    block_sessions: int
    market_channel: str
    locked: tuple[str, ...]
    leak_answer: str
    abstain_below: float


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    split: str
    steps: int
    learning_rate: float
    warmup_steps: int
    replay_share: float
    replay_rows: int
    replay_half_life: int
    frozen: tuple[str, ...]
    rank: int
    to_parent: float
    teacher: float
    gate_sessions: int
    every: int
    retrain_every: int


@dataclasses.dataclass(frozen=True)
class DriftConfig:
    detector: Literal["PageHinkley", "ADWIN", "KSWIN"]
    run_length: float
    reference_sessions: int
    recent_sessions: int
    action: Literal["log", "finetune", "widen", "retrain"]


@dataclasses.dataclass(frozen=True)
class LadderConfig:
    data: Literal["planted", "maec", "digits", "candles"]
    variant: str
    root: str
    rungs: tuple[tuple[str, ...], ...]
    oracle: tuple[str, ...]
    seeds: int
    first_seed: int
    fusions: tuple[tuple[str, dict[str, Any]], ...]
