"""Results of an ablation: tables for the terminal, and a JSON file for pages."""

import json
from pathlib import Path

import pandas as pd
from rich.table import Table

from fusionjax import files
from fusionjax.report import frames


def for_screen(tables: dict[str, pd.DataFrame], title: str) -> list[Table]:
    """The tables for a terminal; those of few rows are transposed."""
    return [
        frames.for_screen(
            table.T.rename_axis("asked") if len(table) < 9 else table, f"{title}: {what}"
        )
        for what, table in tables.items()
    ]


def save(tables: dict[str, pd.DataFrame], path: Path) -> None:
    """Writes the tables as JSON."""
    parsed = {what: json.loads(t.to_json(orient="table")) for what, t in tables.items()}
    files.write_text(path, json.dumps(parsed))
