"""Every key of a config in words, from the dataclass fields that define them."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from fusionjax.config import Config
from fusionjax.config.key import choices, expected
from fusionjax.registry import HEADS, MODALITIES


@dataclasses.dataclass(frozen=True)
class Key:
    """A key: its name with dots, its default as Python writes it, what it is with its bounds."""

    name: str
    default: str
    text: str


@dataclasses.dataclass(frozen=True)
class Section:
    """Keys that stand together; of a kind of modality their names lack the modality's own."""

    name: str
    text: str
    keys: tuple[Key, ...]


def sections() -> list[Section]:
    """Top level first, then each section, each head, each kind of modality."""
    found = [_section("", Config, "")]
    for f in dataclasses.fields(Config):
        if dataclasses.is_dataclass(f.type):
            found.append(_section(f.name, f.type, f"{f.name}."))
    for head in HEADS.built_in:
        found.append(_section(f"targets.{head}", HEADS[head], f"targets.{head}."))
    for kind in MODALITIES.built_in:
        found.append(_section(f"modalities, kind {kind}", MODALITIES[kind], ""))
    return found


def _section(name: str, section: Any, prefix: str) -> Section:
    return Section(name, " ".join(section.__doc__.split()), tuple(_keys(section, prefix)))


def _keys(section: Any, prefix: str) -> Iterator[Key]:
    for f in dataclasses.fields(section):
        if "doc" not in f.metadata:
            continue
        told = [f.metadata["doc"], expected(f)]
        if typing.get_origin(f.type) is typing.Literal:
            told.append(choices(f.type))
        default = f.default
        if f.default_factory is not dataclasses.MISSING:
            default = f.default_factory()
        yield Key(f"{prefix}{f.name}", repr(default), "; ".join(x for x in told if x))
