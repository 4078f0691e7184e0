"""A run's settings: ConfigDict at the edge, frozen dataclasses inside. Values live in configs/."""

import dataclasses
import datetime
import difflib
import json
from collections.abc import Iterable
from typing import Any, Literal

import dacite
from ml_collections import ConfigDict

from fusionjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class NumericConfig:
    kind: Literal["numeric"]
    channels: tuple[str, ...]
    sessions: int
    patch: int


@dataclasses.dataclass(frozen=True)
class TextConfig:
    kind: Literal["text"]
    sessions: int
    max_documents: int
    author_buckets: int


@dataclasses.dataclass(frozen=True)
class ChartConfig:
    kind: Literal["chart"]
    sessions: int
    height: int
    patch_height: int
    patch_sessions: int


@dataclasses.dataclass(frozen=True)
class ImageConfig:
    kind: Literal["image"]
    sessions: int
    patch: int


@dataclasses.dataclass(frozen=True)
class AudioConfig:
    kind: Literal["audio"]
    sessions: int
    hertz: int
    window: int
    hop: int
    mels: int
    patch: int


@dataclasses.dataclass(frozen=True)
class VideoConfig:
    kind: Literal["video"]
    sessions: int
    patch: int
    patch_frames: int


@dataclasses.dataclass(frozen=True)
class VectorConfig:
    kind: Literal["vector"]
    features: int


MediaConfig = ImageConfig | AudioConfig | VideoConfig
ModalityConfig = NumericConfig | TextConfig | ChartConfig | MediaConfig | VectorConfig
_KINDS: dict[str, type] = {
    "numeric": NumericConfig,
    "text": TextConfig,
    "chart": ChartConfig,
    "image": ImageConfig,
    "audio": AudioConfig,
    "video": VideoConfig,
    "vector": VectorConfig,
}
FusionName = Literal[
    "distilled",
    "equal",
    "concat",
    "late",
    "softmax_gate",
    "attention_gate",
    "confidence",
    "ogm_ge",
    "qmf",
]


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
    splits: dict[str, tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class TargetsConfig:
    classes: tuple[str, ...]
    direction: tuple[int, ...]
    up: float
    down: float
    returns: tuple[int, ...]
    quantiles: tuple[float, ...]
    volatility: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    width: int
    layers: int
    heads: int
    mlp_ratio: int
    attention: Literal["window", "linear"]
    attention_window: int
    fusion: FusionName
    confidence_threshold: float
    dropout: float
    compute_dtype: Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class LossConfig:
    direction: float
    returns: float
    volatility: float
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
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    ema_decay: float
    modality_dropout: float
    frozen: tuple[str, ...]
    coreset_share: float
    coreset_by: str
    checkpoint_every: int
    keep_checkpoints: int
    log_every: int


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    data: int
    fsdp: int
    tensor: int


@dataclasses.dataclass(frozen=True)
class SelectionConfig:
    folds: int
    fold_sessions: int
    grid: tuple[dict[str, Any], ...]


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    split: str
    bootstrap_samples: int
    block_sessions: int
    market_channel: str


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    split: str
    steps: int
    learning_rate: float
    warmup_steps: int
    replay_share: float
    frozen: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class LadderConfig:
    data: Literal["planted", "maec", "digits"]
    variant: str
    root: str
    rungs: tuple[tuple[str, ...], ...]
    oracle: tuple[str, ...]
    seeds: int
    first_seed: int
    fusions: tuple[tuple[str, dict[str, Any]], ...]


@dataclasses.dataclass(frozen=True)
class Config:
    """The whole of a run. ``configs/base.py`` explains every key and its unit."""

    name: str
    seed: int
    data: DataConfig
    modalities: dict[str, ModalityConfig]
    targets: TargetsConfig
    model: ModelConfig
    loss: LossConfig
    distill: DistillConfig
    train: TrainConfig
    mesh: MeshConfig
    selection: SelectionConfig
    evaluate: EvaluateConfig
    finetune: FinetuneConfig
    ladder: LadderConfig
    toy: tuple[tuple[str, Any], ...]

    def override(self, changes: dict[str, Any]) -> "Config":
        """This config with dotted keys replaced, e.g. ``{"train.steps": 20}``.

        Raises:
          InputError: a key does not exist or a value has the wrong type.
        """
        raw = dataclasses.asdict(self)
        for key, value in changes.items():
            *parents, leaf = key.split(".")
            node = raw
            for name in parents:
                node = _child(node, name, key)
            _child(node, leaf, key)
            node[leaf] = value
        return _build(raw)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2)

    @staticmethod
    def from_json(raw: dict[str, Any]) -> "Config":
        """The inverse of ``to_json``, parsed."""
        return _build(raw)


def resolve(config: ConfigDict) -> Config:
    """Turns a config file's dict into frozen dataclasses and checks what needs no data.

    Raises:
      InputError: naming the key, what it holds and what was expected.
    """
    return _build(json.loads(config.to_json_best_effort()))


def require_same_task(config: Config, trained: Config, keys: tuple[str, ...]) -> None:
    """Refuses a config that describes another task than a run was trained for.

    Raises:
      InputError: naming the first of ``keys`` that differs, and how.
    """
    for key in keys:
        mine, theirs = getattr(config, key), getattr(trained, key)
        if mine != theirs:
            raise InputError(
                f"the run was trained with other {key} than --config has: {theirs} against {mine}. "
                "Give the config it was trained with"
            )


def _child(node: Any, name: str, key: str) -> Any:
    if not isinstance(node, dict) or name not in node:
        known = node if isinstance(node, dict) else ()
        raise InputError(f"config has no key {key!r}{_nearest(name, known)}")
    return node[name]


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _build(raw: dict[str, Any]) -> Config:
    raw = dict(raw)
    modalities = {}
    for name, entry in raw.pop("modalities", {}).items():
        kind = entry.get("kind")
        if kind not in _KINDS:
            raise InputError(
                f"config.modalities.{name}.kind is {kind!r}; expected one of {', '.join(_KINDS)}"
            )
        modalities[name] = _from_dict(_KINDS[kind], entry, f"config.modalities.{name}")
    config = _from_dict(Config, raw | {"modalities": {}}, "config")
    config = dataclasses.replace(config, modalities=modalities)
    _check(config)
    return config


def _from_dict(cls: type, raw: dict[str, Any], where: str) -> Any:
    try:
        return dacite.from_dict(cls, raw, dacite.Config(strict=True, cast=[tuple]))
    except dacite.exceptions.WrongTypeError as e:
        raise InputError(f"{where}.{e.field_path} is {e.value!r}; expected {e.field_type}") from e
    except dacite.exceptions.MissingValueError as e:
        raise InputError(f"{where}.{e.field_path} is missing; see configs/base.py") from e
    except dacite.exceptions.UnexpectedDataError as e:
        raise InputError(f"{where}: unknown keys {sorted(e.keys)}; see configs/base.py") from e


def _check(c: Config) -> None:
    """Relations between keys that a type cannot express."""
    _check_counts(c)
    _check_targets(c.targets)
    _check_modalities(c)
    _check_splits(c)
    _check_training(c)


def _need(ok: bool, message: str) -> None:
    if not ok:
        raise InputError(f"config: {message}")


def _check_counts(c: Config) -> None:
    counts = {
        "data": ("min_history", "audio_hertz", "video_frames"),
        "model": ("width", "heads", "mlp_ratio", "attention_window"),
        "train": (
            *("steps", "global_batch_size", "grad_accum_steps"),
            *("checkpoint_every", "keep_checkpoints", "log_every"),
        ),
        "distill": ("every",),
        "selection": ("folds", "fold_sessions"),
        "finetune": ("steps",),
        "evaluate": ("bootstrap_samples", "block_sessions"),
    }
    for section, names in counts.items():
        for name in names:
            value = getattr(getattr(c, section), name)
            _need(value >= 1, f"{section}.{name} is {value}; expected at least 1")


def _check_targets(t: TargetsConfig) -> None:
    for key in ("direction", "returns", "volatility"):
        horizons = getattr(t, key)
        _need(
            len(horizons) > 0 and min(horizons) >= 1,
            f"targets.{key} is {horizons}; expected one or more horizons of at least 1 session",
        )
    _need(len(t.quantiles) > 0, "targets.quantiles is empty")
    _need(
        list(t.quantiles) == sorted(set(t.quantiles)) and all(0 < q < 1 for q in t.quantiles),
        f"targets.quantiles {t.quantiles} must rise strictly inside (0, 1)",
    )
    _need(t.down <= t.up, "targets.down is above targets.up")


def _check_modalities(c: Config) -> None:
    _need(bool(c.modalities), "modalities is empty; give at least one")
    bare = all(isinstance(m, VectorConfig) for m in c.modalities.values())
    _need(
        c.model.layers >= (0 if bare else 1),
        f"model.layers is {c.model.layers}; expected at least 1, or 0 where all are vectors",
    )
    _need(
        c.model.width % c.model.heads == 0,
        f"model.width {c.model.width} is not a multiple of model.heads {c.model.heads}",
    )
    for name, m in c.modalities.items():
        sizes = {k: v for k, v in dataclasses.asdict(m).items() if isinstance(v, int)}
        _need(min(sizes.values()) >= 1, f"modalities.{name} is {sizes}; each is at least 1")
        if isinstance(m, NumericConfig):
            _need(bool(m.channels), f"modalities.{name}.channels is empty")
            _need(
                m.sessions % m.patch == 0,
                f"modalities.{name}: sessions {m.sessions} is not a multiple of patch {m.patch}",
            )
        elif isinstance(m, ChartConfig):
            _need(
                m.height % m.patch_height == 0 and m.sessions % m.patch_sessions == 0,
                f"modalities.{name}: {m.height} pixels × {m.sessions} sessions do not divide "
                f"into patches of {m.patch_height} × {m.patch_sessions}",
            )
        elif isinstance(m, MediaConfig):
            _check_media(name, m, c.data)
        elif isinstance(m, VectorConfig) and c.model.layers == 0:
            _need(
                m.features <= c.model.width,
                f"modalities.{name} does not fit into model.width {c.model.width} as it is",
            )


def _check_media(name: str, m: MediaConfig, data: DataConfig) -> None:
    """Patches must fit into what ``data`` decodes files to."""
    if isinstance(m, AudioConfig):
        samples = round(data.audio_seconds * data.audio_hertz)
        frames = 1 + (samples - m.window) // m.hop
        _need(
            m.hertz == data.audio_hertz,
            f"modalities.{name}.hertz is {m.hertz}; data.audio_hertz is {data.audio_hertz}",
        )
        _need(
            frames >= m.patch,
            f"modalities.{name}: {samples} samples hold {max(frames, 0)} windows of {m.window} "
            f"every {m.hop}, fewer than a patch of {m.patch}",
        )
        return
    size = data.image_size if isinstance(m, ImageConfig) else data.video_size
    key = "image_size" if isinstance(m, ImageConfig) else "video_size"
    _need(
        all(n % m.patch == 0 for n in size),
        f"modalities.{name}: data.{key} {size} does not divide into patches of {m.patch}",
    )
    if isinstance(m, VideoConfig):
        _need(
            data.video_frames % m.patch_frames == 0,
            f"modalities.{name}: data.video_frames {data.video_frames} is not a multiple of "
            f"patch_frames {m.patch_frames}",
        )


def _check_splits(c: Config) -> None:
    _need(
        c.data.decision_delay_minutes >= 0,
        f"data.decision_delay_minutes is {c.data.decision_delay_minutes}; a decision before the "
        "close would see the close",
    )
    for key in ("train", "evaluate", "finetune"):
        split = getattr(c, key).split
        _need(
            split in c.data.splits,
            f"{key}.split is {split!r}; data.splits has {', '.join(c.data.splits)}",
        )
    for name, span in c.data.splits.items():
        for day in span:
            _need(_is_date(day), f"data.splits.{name} holds {day!r}; expected YYYY-MM-DD")
        _need(
            len(span) == 2 and span[0] <= span[1],
            f"data.splits.{name} is {span}; expected (first day, last day)",
        )


def _check_training(c: Config) -> None:
    _need(
        c.train.global_batch_size % c.train.grad_accum_steps == 0,
        f"train.global_batch_size {c.train.global_batch_size} is not a multiple of "
        f"train.grad_accum_steps {c.train.grad_accum_steps}",
    )
    share, judge = c.train.coreset_share, c.train.coreset_by
    _need(0 < share <= 1, f"train.coreset_share is {share}; expected in (0, 1]")
    _need(
        (share < 1) == bool(judge),
        f"train.coreset_share is {share} and train.coreset_by {judge!r}; a share below 1 needs a "
        "run folder or 'random' to choose by, and a share of 1 neither",
    )
    d = c.distill
    _need(0 < d.anchor_share < 1, f"distill.anchor_share is {d.anchor_share}; expected in (0, 1)")
    _need(0 < d.absorb_share <= 1, f"distill.absorb_share is {d.absorb_share}; expected in (0, 1]")
    _need(0 <= d.soft_labels < 1, f"distill.soft_labels is {d.soft_labels}; expected in [0, 1)")
    _need(0 <= c.finetune.replay_share < 1, "finetune.replay_share must be in [0, 1)")


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
