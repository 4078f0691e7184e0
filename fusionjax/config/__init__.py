"""A run's settings: ConfigDict at the edge, frozen dataclasses inside.

A key is one field of ``config.sections`` or of a modality. docs/config.md lists them all.
"""

import dataclasses
import json
import re
import typing
from typing import Any, Self, TypeVar

import dacite
from ml_collections import ConfigDict

from fusionjax.config.checks import check
from fusionjax.config.key import choices, key
from fusionjax.config.renamed import now_called, refuse, translated
from fusionjax.config.sections import (
    TOY,
    AugmentConfig,
    DataConfig,
    DistillConfig,
    DriftConfig,
    EvaluateConfig,
    FinetuneConfig,
    GuardConfig,
    LossConfig,
    MeshConfig,
    ModelConfig,
    SelectionConfig,
    SweepConfig,
    TrainConfig,
)
from fusionjax.errors import InputError, nearest
from fusionjax.registry import FUSIONS, HEADS, MODALITIES, Registry

__all__ = [
    "AugmentConfig",
    "Config",
    "DataConfig",
    "DistillConfig",
    "DriftConfig",
    "EvaluateConfig",
    "FinetuneConfig",
    "GuardConfig",
    "Heads",
    "LossConfig",
    "MeshConfig",
    "Modalities",
    "ModelConfig",
    "SelectionConfig",
    "SweepConfig",
    "TrainConfig",
    "changes",
    "defaults",
    "head",
    "modality",
    "require_same_task",
    "resolve",
]

Heads = dict[str, Any]  # of heads.base.Head, by name: ``Config.targets``
Modalities = dict[str, Any]  # of modalities.base.Modality, by name: ``Config.modalities``

_PERIOD = re.compile(r"(\d{4}-\d{2}-\d{2})[:_](\d{4}-\d{2}-\d{2})", re.ASCII)
_LARGEST = 2**53  # beyond, a float does not hold a whole number


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a run."""

    name: str = key("base", "names the run folder: runs/NAME")
    seed: int = key(0, "of parameters, sampling order and dropout")
    data: DataConfig = DataConfig()
    modalities: Modalities = key(
        {}, "an entry a modality, by a name of your own: its kind and the keys of that kind"
    )
    targets: Heads = dataclasses.field(
        default_factory=lambda: {name: HEADS[name]() for name in HEADS.built_in},
        metadata={"doc": "an entry a head, by its name; their order is that of the outputs"},
    )
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    distill: DistillConfig = DistillConfig()
    train: TrainConfig = TrainConfig()
    guard: GuardConfig = GuardConfig()
    augment: AugmentConfig = AugmentConfig()
    mesh: MeshConfig = MeshConfig()
    selection: SelectionConfig = SelectionConfig()
    sweep: SweepConfig = SweepConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    drift: DriftConfig = DriftConfig()
    toy: tuple[tuple[str, Any], ...] = key(
        TOY, "(dotted key, value) that --cpu_mesh sets, unless a flag says otherwise"
    )

    @property
    def classifier(self) -> tuple[str, Any]:
        """The first head whose labels are classes, and its name."""
        return next((name, head) for name, head in self.targets.items() if head.class_names)

    @property
    def stacked_heads(self) -> Heads:
        """The heads whose forecasts start from experts: only a fusion that learns weights from
        later data can judge them."""
        uses = bool(self.distill.experts or self.distill.expert_files)
        uses = uses and FUSIONS[self.model.fusion].learns_weights
        return {name: head for name, head in self.targets.items() if uses and head.stackable}

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The numeric channels of all modalities, each once."""
        return tuple(dict.fromkeys(n for m in self.modalities.values() for n in m.channel_names))

    @property
    def longest_horizon(self) -> int:
        """The longest horizon of any label, in sessions."""
        return max(h for head in self.targets.values() for h in head.horizons)

    def override(self, changes: dict[str, Any]) -> Self:
        """This config with dotted keys replaced, e.g. ``{"train.steps": 20}``.

        Raises:
          InputError: a key does not exist or a value has the wrong type.
        """
        raw = dataclasses.asdict(self)
        for dotted, value in changes.items():
            refuse(dotted, value)
            *parents, leaf = dotted.split(".")
            node = raw
            for name in parents:
                node = _child(node, name, dotted)
            _child(node, leaf, dotted)
            node[leaf] = value
        return _build(type(self), raw)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, raw: Any) -> Self:
        """The inverse of ``to_json``, from parsed JSON. Translates renamed keys; missing ones have
        their defaults."""
        return _build(cls, translated(raw, {f.name for f in dataclasses.fields(cls)}))

    @classmethod
    def of(cls, config: ConfigDict) -> Self:
        """A config file's dict as frozen dataclasses, with all checks that need no data.

        Raises:
          InputError: naming the key, what it holds and what was expected.
        """
        return _build(cls, json.loads(config.to_json_best_effort()))


C = TypeVar("C", bound=Config)


def defaults(schema: type[Config] = Config) -> ConfigDict:
    """The start of a config file: every key at its default; other keys cannot be set.

    New entries can be added to ``modalities``, ``targets``, ``data.splits`` and
    ``distill.expert_files``.
    """
    c = ConfigDict(dataclasses.asdict(schema())).lock()
    for entries in (c.modalities, c.targets, c.data.splits, c.distill.expert_files):
        entries.unlock()
    return c


def modality(kind: str, **keys: Any) -> ConfigDict:
    """An entry of ``modalities``: ``modality("numeric", sessions=64)``; the rest are defaults.

    Raises:
      InputError: no such kind, or it has no such key.
    """
    return _entry(MODALITIES[kind], {"kind": kind, **keys}, f"a modality of kind {kind}")


def head(name: str, **keys: Any) -> ConfigDict:
    """An entry of ``targets`` for a head that is registered by this name, as ``modality`` is.

    Raises:
      InputError: no such head, or it has no such key.
    """
    return _entry(HEADS[name], keys, f"the head {name}")


def _entry(cls: type, keys: dict[str, Any], where: str) -> ConfigDict:
    return ConfigDict(dataclasses.asdict(_from_dict(cls, keys, where)))


def resolve(config: ConfigDict) -> Config:
    """``Config.of``: a config file's dict as frozen dataclasses, checked."""
    return Config.of(config)


def require_same_task(config: Config, trained: Config, keys: tuple[str, ...]) -> None:
    """Refuses a config that describes another task than a run was trained for.

    Raises:
      InputError: naming each key of those sections that differs, and how.
    """
    lines = [
        line
        for section in keys
        for line in _differences(_task(trained, section), _task(config, section), section)
    ]
    if lines:
        raise InputError(
            "--config describes another task than the run was trained for:\n  "
            + "\n  ".join(lines)
            + "\nGive the config it was trained with, or none: the run knows its own"
        )


def changes(was: Config, now: Config) -> list[str]:
    """A line for each setting in which two configs differ."""
    return _differences(json.loads(was.to_json()), json.loads(now.to_json()), "")


def _differences(was: Any, now: Any, name: str) -> list[str]:
    """A line for each key in which two values, as JSON, differ; dictionaries key by key."""
    if not (isinstance(was, dict) and isinstance(now, dict)):
        return [] if was == now else [f"{name}: was {_shown(was)}, now {_shown(now)}"]
    found = [
        line
        for key in dict.fromkeys([*was, *now])
        for line in _differences(was.get(key), now.get(key), f"{name}.{key}".removeprefix("."))
    ]
    if name == "targets" and not found and [*was] != [*now]:  # that of the model's outputs
        return [f"{name}: was in the order {', '.join(was)}, now {', '.join(now)}"]
    return found


def _shown(value: Any) -> str:
    return "absent" if value is None else json.dumps(value)


def _task(config: Config, section: str) -> Any:
    """A section as JSON, without the weights of heads, which are not part of the task."""
    raw = json.loads(config.to_json())[section]
    if section == "targets":
        raw = {name: {**head, "weight": 1.0} for name, head in raw.items()}
    return raw


def _child(node: Any, name: str, dotted: str) -> Any:
    if not isinstance(node, dict) or name not in node:
        known = node if isinstance(node, dict) else ()
        raise InputError(
            f"config has no key {dotted!r}{now_called(dotted) or nearest(name, known)}"
        )
    return node[name]


def _with_periods(raw: dict[str, Any]) -> dict[str, Any]:
    """With a split of its own for each period that a section names by its first and last day."""
    for name, section in raw.items():
        split = section.get("split") if isinstance(section, dict) else None
        data = raw.get("data", {})
        splits = data.get("splits", {}) if isinstance(data, dict) else None
        days = _PERIOD.fullmatch(split) if isinstance(split, str) else None
        if isinstance(splits, dict) and days is not None:
            first, last = days.groups()
            own = f"{first}_{last}"  # of files too; may be given as it is
            data = {**data, "splits": {**splits, own: (first, last)}}
            raw = {**raw, "data": data, name: {**section, "split": own}}
    return raw


def _build(schema: type[C], raw: Any) -> C:
    raw = dict(_with_tuples(dict[str, Any], raw, "config"))
    for section, values in raw.items():
        for name, value in values.items() if isinstance(values, dict) else ():
            refuse(f"{section}.{name}", value)
    raw = {"targets": {name: {} for name in HEADS.built_in}} | _with_periods(raw)
    modalities = _entries(raw, "modalities", MODALITIES, "kind")
    targets = _entries(raw, "targets", HEADS)
    config = _from_dict(schema, raw | {"modalities": {}, "targets": {}}, "config")
    config = dataclasses.replace(config, modalities=modalities, targets=targets)
    check(config)
    return config


def _entries(raw: dict[str, Any], section: str, known: Registry, key: str = "") -> dict[str, Any]:
    """Each entry of a section as the class registered for its name, or for the value of ``key``."""
    listed = _with_tuples(dict[str, dict[str, Any]], raw.get(section, {}), f"config.{section}")
    entries = {}
    for name, entry in listed.items():
        where = f"{section}.{name}"
        kind = entry.get(key) if key else name
        known.require(kind, f"{where}.{key}".rstrip("."))
        entries[name] = _from_dict(known[kind], entry, f"config.{where}")
    return entries


def _from_dict(cls: type, raw: dict[str, Any], where: str) -> Any:
    try:
        return dacite.from_dict(cls, _with_tuples(cls, raw, where), dacite.Config(strict=True))
    except dacite.exceptions.WrongTypeError as e:
        raise InputError(
            f"{where}.{e.field_path} is {e.value!r}; expected {choices(e.field_type)}"
        ) from e
    except dacite.exceptions.MissingValueError as e:
        raise InputError(f"{where}.{e.field_path} is missing; see docs/config.md") from e
    except dacite.exceptions.UnexpectedDataError as e:
        raise InputError(f"{where}: unknown keys {sorted(e.keys)}; see docs/config.md") from e


def _with_tuples(kind: Any, value: Any, where: str) -> Any:
    """The value with tuples for lists; dacite checks plain types, but not the form of tuples.

    Raises:
      InputError: naming the key whose value has another form than ``kind``, or is not finite.
    """
    outer, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        kinds = {f.name: f.type for f in dataclasses.fields(kind)}  # dacite refuses other names
        return {k: _with_tuples(kinds.get(k, Any), v, f"{where}.{k}") for k, v in value.items()}
    if outer is dict and isinstance(value, dict):
        return {k: _with_tuples(inner[1], v, f"{where}.{k}") for k, v in value.items()}
    if outer is tuple and isinstance(value, list | tuple):
        items = inner[:1] * len(value) if inner[-1] is ... else inner
        if len(items) == len(value):
            return tuple(_with_tuples(k, v, where) for k, v in zip(items, value, strict=True))
    elif kind in (int, float) and isinstance(value, int | float):
        if not isinstance(value, bool) and abs(value) <= _LARGEST:  # no NaN
            return value if kind is int else float(value)
    elif outer not in (dict, tuple) and not dataclasses.is_dataclass(kind):
        return value
    raise InputError(f"{where} is {value!r}; expected {choices(kind)}")
