"""Renders templates to self-contained HTML; everything from data is escaped."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from fusionjax import files
from fusionjax.report import glossary
from fusionjax.scores.intervals import NOT_ENOUGH


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


_LONG = re.compile(r"<td>([^<]{25,})</td>")  # what is wrapped where the page is narrow
_VERDICTS = re.compile(rf"<td>(better|worse|not distinguishable|{NOT_ENOUGH}[^<]*)</td>")


def write(path: Path, template: str, **values: Any) -> Path:
    """Writes a template's page; returns its path."""
    files.write_text(path, _TEMPLATES.get_template(template).render(**values))
    return path


def write_sections(path: Path, sections: list[Section], lead: list[str], **values: Any) -> Path:
    """Writes a page of those sections that have a part; returns its path.

    The first mention of a term in a section shows its meaning on hover or tap, and the last section
    lists all terms that were mentioned.

    Args:
      path: of the page.
      sections: in their order.
      lead: sentences below the title.
      values: title, library and, if any, alarms and facts.
    """
    shown, words = [], set[str]()
    lead = [glossary.explained(str(escape(line)), words) for line in lead]
    for section in sections:
        if not section.parts:
            continue
        seen: set[str] = set()
        intro = glossary.explained(str(escape(section.intro)), seen)
        parts = [glossary.explained(part, seen) for part in section.parts]
        shown.append((section.title, section.anchor, intro, parts))
        words |= seen
    meanings = {term: glossary.plain(glossary.TERMS[term]) for term in sorted(words, key=str.lower)}
    return write(path, "page.html.j2", sections=shown, lead=lead, words=meanings, **values)


def table(frame: pd.DataFrame, rows: int) -> Markup:
    """The first ``rows`` of a frame as HTML, and the number of the others."""
    if frame.index.name:  # beside the columns' names, not in a row of its own below them
        frame = frame.rename_axis(columns=str(frame.index.name)).rename_axis(index=None)
    html = frame.head(rows).to_html(border=0, na_rep="–", float_format=lambda x: f"{x:.4g}")
    html = _LONG.sub(r"<td class=text>\1</td>", _VERDICTS.sub(_verdict, html))
    html = f"<div class=scroll tabindex=0>{html}</div>"
    hidden = len(frame) - rows
    return Markup(html) + (
        Markup("<p class=more>and {:,} more rows</p>").format(hidden) if hidden > 0 else ""
    )


def _verdict(cell: re.Match[str]) -> str:
    """A cell with a verdict, in a colour of its own."""
    kind = cell[1] if cell[1] in ("better", "worse") else "open"
    return f'<td class="verdict {kind}">{cell[1]}</td>'
