"""Writes docs/config.md: every key of a config, from the dataclass fields that define them.

python docs/draw_config.py
"""

from collections.abc import Iterator
from pathlib import Path

from fusionjax.config.described import Section, sections

PAGE = Path(__file__).parent / "config.md"
_TOP = """# Every key of a config

Written by `python docs/draw_config.py` from the fields that define the keys; a test keeps it
today's. A config file starts from `fusionjax/configs/base.py`, whose header shows one of ten lines,
and states what it changes; `--config.train.steps=100` changes a key of any command, and
`fusionjax config --explain=train` prints the part of this page that it names.
"""


def page() -> str:
    """The whole of docs/config.md."""
    lines = [_TOP]
    for section in sections():
        lines += _table(section)
    return "\n".join(lines)


def _table(section: Section) -> Iterator[str]:
    level = "###" if "." in section.name or "," in section.name else "##"
    yield from (f"{level} {section.name or 'Config'}", "", section.text, "")
    yield from ("| key | default | what it is |", "|---|---|---|")
    for key in section.keys:
        text = key.text.replace("|", "\\|")
        yield f"| `{key.name}` | `{key.default}` | {text} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page())
