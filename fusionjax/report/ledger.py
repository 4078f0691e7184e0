"""The ledger's page: every record in one table."""

from pathlib import Path

from fusionjax import ledger
from fusionjax.report import page

_ROWS = 2000


def write(records: list[ledger.Record], folder: Path) -> Path:
    """Writes ``ledger.html`` beside the records; returns its path."""
    kinds = {k: sum(r.kind == k for r in records) for k in sorted({r.kind for r in records})}
    sections = [
        page.Section(
            kind,
            f"{count} records, newest first, and the settings in which they differ.",
            [page.table(ledger.table([r for r in records if r.kind == kind]), _ROWS)],
        )
        for kind, count in kinds.items()
    ]
    return page.write_sections(
        folder / "ledger.html",
        sections,
        title="Ledger",
        lead=[f"{len(records)} records."],
        library="",
    )
