"""Renders templates to self-contained HTML; everything from data is escaped."""

import dataclasses
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from fusionjax import files


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page."""

    title: str
    intro: str  # what is shown, and how to read it
    parts: list[Markup]

    @property
    def anchor(self) -> str:
        """Names the section in links."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("fusionjax.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write(path: Path, template: str, **values: Any) -> Path:
    """Writes a template's page; returns its path."""
    files.write_text(path, _TEMPLATES.get_template(template).render(**values))
    return path


def table(frame: pd.DataFrame, rows: int) -> Markup:
    """The first ``rows`` of a frame as HTML, and the number of the others."""
    if frame.index.name:  # beside the columns' names, not in a row of its own below them
        frame = frame.rename_axis(columns=str(frame.index.name)).rename_axis(index=None)
    html = frame.head(rows).to_html(border=0, na_rep="–", float_format=lambda x: f"{x:.4g}")
    html = f"<div class=scroll>{html}</div>"
    hidden = len(frame) - rows
    return Markup(html) + (
        Markup("<p class=more>and {:,} more rows</p>").format(hidden) if hidden > 0 else ""
    )
