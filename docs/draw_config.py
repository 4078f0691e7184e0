"""Writes docs/config.md: every key of a config, from the dataclass fields that define them.

python docs/draw_config.py
"""

import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusionjax.config import Config
from fusionjax.config.key import choices, expected
from fusionjax.registry import HEADS, MODALITIES

PAGE = Path(__file__).parent / "config.md"
_TOP = """# Every key of a config

Written by `python docs/draw_config.py` from the fields that define the keys; a test keeps it
today's. A config file starts from `configs/base.py`, whose header shows one of ten lines, and
states what it changes; `--config.train.steps=100` changes a key of any command.
"""


def page() -> str:
    """The whole of docs/config.md."""
    lines = [_TOP, *_table("Config", Config, "")]
    for f in dataclasses.fields(Config):
        if dataclasses.is_dataclass(f.type):
            lines += _table(f"`{f.name}`", f.type, f"{f.name}.")
    lines += ["## `targets`", "", "An entry a head, by its name.", ""]
    for name in HEADS.built_in:
        lines += _table(f"`targets.{name}`", HEADS[name], f"targets.{name}.", level="###")
    lines += [
        "## `modalities`",
        "",
        "`c.modalities.NAME = base.modality(KIND, key=value, ...)`",
        "",
    ]
    for kind in MODALITIES.built_in:
        lines += _table(f"kind `{kind}`", MODALITIES[kind], "", level="###")
    return "\n".join(lines)


def _table(title: str, section: Any, prefix: str, level: str = "##") -> Iterator[str]:
    keys = [f for f in dataclasses.fields(section) if "doc" in f.metadata]
    yield from (f"{level} {title}", "", " ".join(section.__doc__.split()), "")
    yield from ("| key | default | what it is |", "|---|---|---|")
    for f in keys:
        told = [f.metadata["doc"], expected(f)]
        if typing.get_origin(f.type) is typing.Literal:
            told.append(choices(f.type))
        said = "; ".join(x for x in told if x).replace("|", "\\|")
        yield f"| `{prefix}{f.name}` | `{_default(f)}` | {said} |"
    yield ""


def _default(f: dataclasses.Field) -> str:
    made = f.default_factory is not dataclasses.MISSING
    return repr(f.default_factory() if made else f.default)  # type: ignore[misc]


if __name__ == "__main__":
    PAGE.write_text(page())
