"""A run's settings: ConfigDict at the edge, frozen dataclasses inside. Values live in configs/."""

import dataclasses
import difflib
import json
from collections.abc import Iterable
from typing import Any

import dacite
from ml_collections import ConfigDict

from fusionjax.config.checks import check
from fusionjax.config.sections import (
    AudioConfig,
    AugmentConfig,
    ChartConfig,
    DataConfig,
    DistillConfig,
    DriftConfig,
    EvaluateConfig,
    FinetuneConfig,
    FramesConfig,
    ImageConfig,
    LadderConfig,
    LossConfig,
    MediaConfig,
    MeshConfig,
    ModalityConfig,
    ModelConfig,
    NumericConfig,
    SelectionConfig,
    SweepConfig,
    TargetsConfig,
    TextConfig,
    TrainConfig,
    VectorConfig,
    VideoConfig,
)
from fusionjax.errors import InputError

__all__ = [
    "AudioConfig",
    "AugmentConfig",
    "ChartConfig",
    "Config",
    "DataConfig",
    "DistillConfig",
    "DriftConfig",
    "EvaluateConfig",
    "FinetuneConfig",
    "FramesConfig",
    "ImageConfig",
    "LadderConfig",
    "LossConfig",
    "MediaConfig",
    "MeshConfig",
    "ModalityConfig",
    "ModelConfig",
    "NumericConfig",
    "SelectionConfig",
    "SweepConfig",
    "TargetsConfig",
    "TextConfig",
    "TrainConfig",
    "VectorConfig",
    "VideoConfig",
    "require_same_task",
    "resolve",
]

_KINDS: dict[str, type] = {
    "numeric": NumericConfig,
    "text": TextConfig,
    "chart": ChartConfig,
    "image": ImageConfig,
    "audio": AudioConfig,
    "video": VideoConfig,
    "frames": FramesConfig,
    "vector": VectorConfig,
}


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
    augment: AugmentConfig
    mesh: MeshConfig
    selection: SelectionConfig
    sweep: SweepConfig
    evaluate: EvaluateConfig
    finetune: FinetuneConfig
    drift: DriftConfig
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
    check(config)
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
