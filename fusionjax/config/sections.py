"""The sections of a config. docs/config.md is generated from them."""

import dataclasses
from typing import Any, Literal

from fusionjax.config.key import key

STORED_TOKENS = 128  # of each text, when it is prepared


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The raw data, the decoding of media, and the splits."""

    source: str = key("sp500", "a name of registry.SOURCES: sp500, acl18, kdd17, folder")
    root: str = key("", "folder of the raw files; empty for the embedded sp500")
    prepared: str = key(
        "prepared", "folder for prepared sets, and texts and media stored once by content"
    )
    calendar: str = key(
        "XNYS",
        "exchange_calendars code: sessions, closes, half days; where bars name no exchange",
    )
    decision_delay_minutes: int = key(30, "decision_time = session close + this")
    min_history: int = key(
        5, "a sample needs this many earlier bars of its symbol that have a return", least=1
    )
    image_size: tuple[int, int] = key((64, 64), "pixels, height and width, grey")
    audio_sample_rate: int = key(16_000, "samples a second, mono", least=1)
    audio_seconds: float = key(10.0, "the first of each file; shorter ones are padded")
    video_frames: int = key(8, "seen at evenly spaced times of each file", least=1)
    video_size: tuple[int, int] = key((32, 32), "pixels, height and width, grey")
    max_media_seconds: float = key(7200.0, "a file known to be longer is set aside")
    max_frames: int = key(
        256, "the first of each table of feature frames; shorter ones are padded", least=1
    )
    frame_features: int = key(29, "columns of a table of feature frames", least=1)
    event_horizons: tuple[int, ...] = key(
        (1, 5),
        "sessions: of each event a channel NAME_within_H says whether it is due by then",
        least=1,
    )
    splits: dict[str, tuple[str, str]] = key(
        {"train": ("1999-01-01", "2016-12-31"), "dev": ("2017-01-01", "2018-12-31")},
        "first and last *target* session of each split (the session after decision_time), "
        "inclusive; a label counts in a split only if it is known by the split's last day",
    )
    accepted_findings: tuple[str, ...] = key(
        (),
        "codes of the audit's findings that would forbid training and are known, such as "
        '("unit jumps",)',
    )


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The encoders and the fusion."""

    width: int = key(64, "D, shared by all modalities", least=1)
    layers: int = key(
        2, "Transformer layers of each encoder; 0 hands vectors to the fusion as they are"
    )
    heads: int = key(4, "of attention", least=1)
    mlp_ratio: int = key(2, "hidden width of the feed-forward block / D", least=1)
    attention: Literal["window", "linear"] = key("window", "both cost O(N)")
    attention_window: int = key(16, "tokens seen to each side", least=1)
    fusion: str = key("distilled", "a name of registry.FUSIONS; docs/fusion.md describes each")
    confidence_threshold: float = key(0.6, 'of fusion "confidence": the share of the best class')
    dropout: float = key(0.1, "share of activations hidden in training")
    compute_dtype: Literal["float32", "bfloat16"] = key(
        "float32", "of activations; bfloat16 on GPU. The rest is float32"
    )
    remat: Literal["layer", "products"] = key(
        "layer",
        "what the backward pass does not compute again: each layer's input, or also the products "
        "of its matrices (nine times the memory, a fifth less arithmetic)",
    )


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The weight of terms that some fusions add to the heads' losses."""

    quality_rank: float = key(0.1, 'of fusion "qmf": confidence must fall where the loss rises')
    gradient_modulation: float = key(
        0.3, 'of fusion "ogm_ge": how hard a leading encoder is slowed'
    )


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """Fusion "distilled": its weights learn from the meta set, the latest sessions of the training
    split, which the encoders and heads train on only in the refit phase."""

    experts: tuple[str, ...] = key(
        (
            *("Log-HAR with the market", "ridge with HAR", "LightGBM with HAR", "GARCH(1, 1)"),
            *("majority", "logistic regression with HAR"),
            "historical quantiles, scaled by the experts",
        ),
        "simple models, as the tables call them, whose forecasts the fusion starts from; empty: "
        "none",
    )
    expert_files: dict[str, tuple[str, str]] = key(
        {},
        "further experts by a name of your own: a file of another model's forecasts "
        "(docs/peers.md), and the last day that the model had read (YYYY-MM-DD)",
    )
    expert_fits: int = key(
        8, "parts of the training period, before each of which an expert is fitted anew", least=2
    )
    meta_fraction: float = key(0.4, "of the training split's sessions", above=0, below=1)
    refit_fraction: float = key(
        0.3, "of the steps, at the end: fusion weights fixed, training on all rows", above=0, most=1
    )
    learned: tuple[str, ...] = key(
        ("modality", "rater", "feature", "joint"),
        'which of the weights learn ("rater": the quality head); the others stay 1, which is how '
        "parts are ablated",
    )
    warmup_steps: int = key(60, "steps before the first update of the fusion weights")
    initial_update_steps: int = key(
        150,
        "then an update of them every step for so many steps, and again after the modality "
        "selection (half-way to the refit phase) ...",
    )
    update_interval: int = key(8, "... and every so many steps otherwise", least=1)
    learning_rate: float = key(0.03, "of the weights (Adam)")
    soft_labels: float = key(0.3, "share of the teacher in the training labels", least=0, below=1)
    modality_penalty: float = key(0.01, "nats that a modality of full weight must earn")
    feature_penalty: float = key(
        0.05, "nats that a modality's features must earn together to have half their weight"
    )
    prior_strength: float = key(3.0, "pull of equal weights, in meta sessions")
    keep: tuple[str, ...] = key(
        (), "modalities that stay, whatever the meta set says of them; all: none is ever dropped"
    )


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The training: data, optimiser, batches, checkpoints and logs."""

    split: str = key("train", "of data.splits, or YYYY-MM-DD:YYYY-MM-DD, its first and last day")
    steps: int = key(400, "optimiser updates", least=1)
    global_batch_size: int = key(256, "samples an update, over all devices", least=1)
    grad_accum_steps: int = key(1, "microbatches an update", least=1)
    learning_rate: float = key(1e-3, "peak; linear warm-up, then cosine to zero")
    pretrained_rate: float = key(
        0.02, "of the learning rate, for a text encoder that is fine-tuned"
    )
    levels_rate: float = key(
        3.0,
        "of the learning rate, for the linear map from the inputs' levels to volatility; 0: off",
        least=0,
    )
    warmup_steps: int = key(40, "updates until the learning rate is at its peak")
    weight_decay: float = key(0.05, "decoupled; matrices only")
    clip_norm: float = key(1.0, "global gradient norm")
    ema_decay: float = key(0.99, "of the averaged parameters that evaluate and predict use")
    modality_dropout: float = key(0.1, "chance that a present modality is hidden from a sample")
    frozen: tuple[str, ...] = key((), "regexes over parameter paths that keep their values")
    lora_rank: int = key(
        0, "of the change of each matrix of the encoders' layers; 0: of any rank", least=0
    )
    balance: str = key(
        "",
        'draw samples so that none tilts the batches: "symbol", "sector", or the kind of items '
        "whose sources count (text: authors; image, audio, video); empty: every sample alike",
    )
    coreset_fraction: float = key(
        1.0, "of the training samples; fewer are chosen by ...", above=0, most=1
    )
    coreset_by: str = key("", '... the models of this run folder, or "random"')
    checkpoint_every: int = key(200, "steps", least=1)
    keep_checkpoints: int = key(2, "the newest that stay on disk", least=1)
    log_every: int = key(20, "steps", least=1)
    hang_seconds: float = key(
        1800.0, "without a step that end the process, with its stacks", least=1
    )
    extensions: tuple[int, ...] = key(
        (), "updates after those, an entry an extension (--extend; docs/operations.md)", least=1
    )

    @property
    def last_step(self) -> int:
        """Updates of the whole training, with its extensions."""
        return self.steps + sum(self.extensions)


@dataclasses.dataclass(frozen=True)
class GuardConfig:
    """How a training reacts to non-finite values and rebounds of its loss (docs/operations.md)."""

    window: int = key(
        40,
        "updates whose losses and gradient norms are compared; 0 disables all guards, the check "
        "for non-finite values included",
        least=0,
    )
    grad_norm_zscore: float = key(
        8.0,
        "an update whose gradient is this many robust deviations (of the log norm) above the "
        "median of the window is skipped; 0 skips none. A non-finite one is never applied",
        least=0,
    )
    max_consecutive_skips: int = key(
        3, "after so many skips in a row an update is applied", least=1
    )
    loss_zscore: float = key(
        6.0,
        "the loss has rebounded when the median of a window is this many standard errors above "
        "the best one; then the best state is restored. 0: never",
        least=0,
    )
    lr_backoff: float = key(0.5, "factor on the learning rate at each rollback", above=0, below=1)
    max_rollbacks: int = key(
        3,
        "rollbacks of a run; afterwards rebounds are only reported, and a non-finite step ends it",
        least=0,
    )
    memory_bytes: float = key(
        5e8,
        "a state of at most so many bytes a device has its best copies on the devices, a larger "
        "one in checkpoints",
        least=0,
    )
    max_quarantined: int = key(
        64, "most samples that may be excluded for making the loss non-finite", least=0
    )


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Training inputs changed at random (train/augment.py); beside train.modality_dropout."""

    numeric_jitter: float = key(
        0.0, "standard deviation of noise, in those of the channel", least=0
    )
    numeric_scale: float = key(0.0, "standard deviation of the log of a factor a window", least=0)
    numeric_slice: float = key(
        0.0, "up to this share of a window's sessions, the oldest, hidden", least=0, most=1
    )
    numeric_permute: float = key(
        0.0, "chance that a group of channels is another sample's ...", least=0, most=1
    )
    numeric_groups: tuple[tuple[str, ...], ...] = key(
        (), "... each a tuple of names: what might be a shortcut"
    )
    text_dropout: float = key(
        0.0, "chance that a text is left out, but for the newest", least=0, most=1
    )
    author_masking: float = key(0.0, "chance that a sample's authors are unknown", least=0, most=1)
    image_shift: int = key(0, "up to so many pixels along both axes; not for charts", least=0)
    image_flip: float = key(
        0.0, "chance of left and right exchanged; not for charts", least=0, most=1
    )
    image_cutout: float = key(
        0.0, "side of a black box, as a share; charts and video too", least=0, most=1
    )
    audio_time_mask: float = key(0.0, "up to this share of a clip silenced", least=0, most=1)
    audio_frequency_mask: float = key(
        0.0, "up to this share of its frequencies silenced", least=0, most=1
    )


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each axis; -1 (at most one) takes what is left."""

    data: int = key(-1, "replicas: across nodes")
    fsdp: int = key(1, "parameters split: inside a node")
    tensor: int = key(1, "matrix columns split")


@dataclasses.dataclass(frozen=True)
class SelectionConfig:
    """Where settings and baselines are chosen: folds inside the training split."""

    scheme: Literal["walk_forward", "purged_k_fold", "combinatorial"] = key(
        "walk_forward", "how training sessions are cut into folds (evaluate/splits.py)"
    )
    folds: int = key(3, "how many", least=1)
    fold_sessions: int = key(42, "length of each window of walk_forward", least=1)
    held_out: int = key(2, "of the folds, together, in combinatorial", least=1)
    embargo: int = key(0, "sessions around a test window that training keeps clear of", least=0)


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """Which settings fusionjax sweep tries; a point is scored on the folds of selection."""

    method: Literal["grid", "random", "sensitivity"] = key(
        "grid", "grid: every combination; random: some; sensitivity: one key at a time"
    )
    space: tuple[tuple[str, Any], ...] = key((), "(dotted key, its values) ...")
    points: int = key(20, "of random", least=1)
    seeds: int = key(1, "of each point", least=1)


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """What a run is scored on."""

    split: str = key("dev", "what fusionjax evaluate scores unless told otherwise")
    market_channel: str = key(
        "",
        'what the rule "reverse the market\'s last day" looks at; the mean return of the stocks '
        "that are decided at the same time, if empty",
    )
    portfolio_share: float = key(
        0.1, "of a day's stocks bought, and as many sold short, by forecast", above=0, most=0.5
    )
    borrow_rate: float = key(
        0.0025, "cost of borrowing the stocks sold short, a year", least=0
    )  # the mean of US stocks in D'Avolio (2002)
    locked: tuple[str, ...] = key((), "splits whose days are hold-outs: read once")
    read_again: bool = key(
        False, "reads a locked hold-out once more, as --force does; recorded, and shown ever after"
    )
    leak_alarm_override: str = key(
        "",
        "a score that raises the leak alarm is marked as suspect until this says why it is right",
    )
    abstain_below: float = key(
        0.5, "fusionjax predict makes no call that is less likely", least=0, most=1
    )


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """An update of a trained model on labels that have matured since."""

    split: str = key("train", "its rows after the parent's last matured label are the new ones")
    steps: int = key(40, "optimiser updates", least=1)
    learning_rate: float = key(2e-4, "peak")
    warmup_steps: int = key(4, "updates until the learning rate is at its peak")
    replay_fraction: float = key(
        0.5, "share of each batch drawn from the parent's rows, of which ...", least=0, below=1
    )
    replay_rows: int = key(20_000, "... so many are kept: a reservoir, or, ...", least=1)
    replay_half_life: int = key(
        0, "... with a half-life above 0, more of the recent ones; sessions", least=0
    )
    frozen: tuple[str, ...] = key((), 'regexes over parameter paths, e.g. "encoders_text/.*"')
    lora_rank: int = key(
        0, "of the change of each matrix of the encoders' layers; 0: of any rank", least=0
    )
    l2_sp: float = key(
        0.0, "weight of half the squared distance to the parent's parameters", least=0
    )
    distillation_weight: float = key(
        0.0, "share of the parent's forecast in the training labels", least=0, below=1
    )
    promotion_sessions: int = key(
        63,
        "newest sessions with matured labels that an update does not train on: it replaces the "
        "parent if they show that it is not worse. Fewer than 63 show nothing; 0 promotes unseen",
        least=0,
    )
    promotion_margin: float = key(
        0.02,
        "rise of a loss, as a share of the parent's, from which on an update is worse",
        least=0,
    )
    update_interval: int = key(5, "sessions between two updates of a stream ...", least=1)
    retrain_interval: int = key(
        21, "... and between two trainings from scratch, for rules with such", least=1
    )


@dataclasses.dataclass(frozen=True)
class DriftConfig:
    """The drift monitor of fusionjax serve: inputs, labels, errors, fusion weights."""

    detector: Literal["PageHinkley", "ADWIN", "KSWIN"] = key("PageHinkley", "a detector of river")
    run_length: float = key(1000.0, "sessions to a false alarm of any series, on average", least=1)
    reference_sessions: int = key(500, "newest sessions of training, the reference", least=1)
    recent_sessions: int = key(
        60, "newest sessions, which are compared with the reference", least=1
    )
    action: Literal["log", "finetune", "widen", "retrain"] = key(
        "finetune",
        "what an alarm leads to: log; finetune, today; widen, the same with more replay; retrain",
    )


# What --cpu_mesh changes, unless a flag says otherwise: the same program at toy widths.
TOY: tuple[tuple[str, Any], ...] = (
    ("model.width", 32),
    ("model.layers", 2),
    ("model.heads", 4),
    ("train.steps", 20),
    ("train.warmup_steps", 2),
    ("train.learning_rate", 1e-3),
    ("train.global_batch_size", 128),
    ("train.log_every", 1),
    ("distill.warmup_steps", 4),
    ("distill.refit_fraction", 0.3),
)
