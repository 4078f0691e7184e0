"""A run's settings: ConfigDict at the edge, frozen dataclasses inside. Values live in configs/."""

import dataclasses
import json
import typing
from typing import Any

import dacite
from ml_collections import ConfigDict

from fusionjax.config.checks import check
from fusionjax.config.renamed import refuse, translated
from fusionjax.config.sections import (
    AugmentConfig,
    DataConfig,
    DistillConfig,
    DriftConfig,
    EvaluateConfig,
    FinetuneConfig,
    GuardConfig,
    LadderConfig,
    LossConfig,
    MeshConfig,
    ModelConfig,
    SelectionConfig,
    SweepConfig,
    TrainConfig,
)
from fusionjax.errors import InputError, nearest
from fusionjax.registry import HEADS, MODALITIES, Registry

__all__ = [
    "AugmentConfig",
    "Config",
    "DataConfig",
    "DistillConfig",
    "DriftConfig",
    "EvaluateConfig",
    "FinetuneConfig",
    "GuardConfig",
    "LadderConfig",
    "LossConfig",
    "MeshConfig",
    "ModelConfig",
    "SelectionConfig",
    "SweepConfig",
    "TrainConfig",
    "require_same_task",
    "resolve",
]

_LARGEST = 2**53  # beyond, a float does not hold a whole number


@dataclasses.dataclass(frozen=True)
class Config:
    """The whole of a run. ``configs/base.py`` explains every key and its unit."""

    name: str
    seed: int
    data: DataConfig
    modalities: dict[str, Any]  # of modalities.base.Modality, by a name of the config's own
    targets: dict[str, Any]  # of heads.base.Head, by the name that each is registered by
    model: ModelConfig
    loss: LossConfig
    distill: DistillConfig
    train: TrainConfig
    guard: GuardConfig
    augment: AugmentConfig
    mesh: MeshConfig
    selection: SelectionConfig
    sweep: SweepConfig
    evaluate: EvaluateConfig
    finetune: FinetuneConfig
    drift: DriftConfig
    ladder: LadderConfig
    toy: tuple[tuple[str, Any], ...]

    @property
    def classifier(self) -> tuple[str, Any]:
        """The first head whose labels are classes, and its name."""
        return next((name, head) for name, head in self.targets.items() if head.class_names)

    @property
    def longest_horizon(self) -> int:
        """Of all labels, sessions."""
        return max(h for head in self.targets.values() for h in head.horizons)

    def override(self, changes: dict[str, Any]) -> "Config":
        """This config with dotted keys replaced, e.g. ``{"train.steps": 20}``.

        Raises:
          InputError: a key does not exist or a value has the wrong type.
        """
        raw = dataclasses.asdict(self)
        for key, value in changes.items():
            refuse(key, value)
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
    def from_json(raw: Any) -> "Config":
        """The inverse of ``to_json``, parsed; also of older ones."""
        return _build(translated(raw))


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
        mine, theirs = _task(config, key), _task(trained, key)
        if mine != theirs:
            raise InputError(
                f"the run was trained with other {key} than --config has: {theirs} against {mine}. "
                "Give the config it was trained with"
            )


def _task(config: Config, key: str) -> Any:
    """A section without what is none of the task: how much a head's loss weighs."""
    if key != "targets":
        return getattr(config, key)
    return [(name, dataclasses.replace(h, weight=1.0)) for name, h in config.targets.items()]


def _child(node: Any, name: str, key: str) -> Any:
    if not isinstance(node, dict) or name not in node:
        known = node if isinstance(node, dict) else ()
        raise InputError(f"config has no key {key!r}{nearest(name, known)}")
    return node[name]


def _build(raw: Any) -> Config:
    raw = dict(_formed(dict[str, Any], raw, "config"))
    for section in ("targets", "loss"):
        held = _formed(dict[str, Any], raw.get(section, {}), f"config.{section}")
        for name, value in held.items():
            refuse(f"{section}.{name}", value)
    modalities = _entries(raw, "modalities", MODALITIES, "kind")
    targets = _entries(raw, "targets", HEADS)
    config = _from_dict(Config, raw | {"modalities": {}, "targets": {}}, "config")
    config = dataclasses.replace(config, modalities=modalities, targets=targets)
    check(config)
    return config


def _entries(raw: dict[str, Any], section: str, known: Registry, key: str = "") -> dict[str, Any]:
    """What each entry of a section configures: the class of its name, or of what ``key`` holds."""
    listed = _formed(dict[str, dict[str, Any]], raw.get(section, {}), f"config.{section}")
    made = {}
    for name, entry in listed.items():
        where = f"{section}.{name}"
        kind = entry.get(key) if key else name
        known.require(kind, f"{where}.{key}".rstrip("."))
        made[name] = _from_dict(known[kind], entry, f"config.{where}")
    return made


def _from_dict(cls: type, raw: dict[str, Any], where: str) -> Any:
    try:
        return dacite.from_dict(cls, _formed(cls, raw, where), dacite.Config(strict=True))
    except dacite.exceptions.WrongTypeError as e:
        raise InputError(f"{where}.{e.field_path} is {e.value!r}; expected {e.field_type}") from e
    except dacite.exceptions.MissingValueError as e:
        raise InputError(f"{where}.{e.field_path} is missing; see configs/base.py") from e
    except dacite.exceptions.UnexpectedDataError as e:
        raise InputError(f"{where}: unknown keys {sorted(e.keys)}; see configs/base.py") from e


def _formed(kind: Any, value: Any, key: str) -> Any:
    """The value with tuples for lists. dacite checks plain types, but takes any form for a tuple.

    Raises:
      InputError: naming the key whose value has another form than ``kind``, or is not finite.
    """
    outer, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        kinds = {f.name: f.type for f in dataclasses.fields(kind)}  # dacite refuses other names
        return {k: _formed(kinds.get(k, Any), v, f"{key}.{k}") for k, v in value.items()}
    if outer is dict and isinstance(value, dict):
        return {k: _formed(inner[1], v, f"{key}.{k}") for k, v in value.items()}
    if outer is tuple and isinstance(value, list | tuple):
        items = inner[:1] * len(value) if inner[-1] is ... else inner
        if len(items) == len(value):
            return tuple(_formed(k, v, key) for k, v in zip(items, value, strict=True))
    elif kind in (int, float) and isinstance(value, int | float):
        if not isinstance(value, bool) and abs(value) <= _LARGEST:  # no NaN
            return value if kind is int else float(value)
    elif outer not in (dict, tuple) and not dataclasses.is_dataclass(kind):
        return value
    raise InputError(f"{key} is {value!r}; expected {kind}")
