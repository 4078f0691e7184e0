"""The audit's page and its table for the terminal."""

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from fusionjax.data.audit import Audit
from fusionjax.data.audit.finding import worst_first
from fusionjax.report import page

_COLOURS = {"stop": "red", "watch": "yellow", "fine": "green"}
_ROWS = 60  # of a table on the page


def write(audit: Audit, folder: Path) -> Path:
    """Writes ``audit.html`` into a folder; returns its path."""
    return page.write(
        folder / "audit.html",
        "audit.html.j2",
        audit=audit,
        findings=worst_first(audit.findings),
        tables={title: page.table(frame, _ROWS) for title, frame in audit.tables.items()},
    )


def for_screen(audit: Audit) -> Table:
    """Every check, worst first."""
    table = Table("check", "", "what was seen", "what to do", title=audit.subject)
    for f in worst_first(audit.findings):
        colour = _COLOURS[f.level]
        action = "accepted by config.data.accepted_findings" if f.code in audit.accepted else f.do
        table.add_row(f.code, f"[{colour}]{f.level}[/]", escape(f.what), escape(action))
    return table
