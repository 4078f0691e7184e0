"""Data frames as tables for the terminal."""

import pandas as pd
from rich.markup import escape
from rich.table import Table


def for_screen(frame: pd.DataFrame, title: str) -> Table:
    """A frame for a terminal, floats with four digits."""
    table = Table(title=title, title_justify="left", title_style="bold")
    flat = frame.reset_index() if frame.index.name else frame
    for column in flat.columns:
        number = pd.api.types.is_numeric_dtype(flat[column])
        table.add_column(str(column), justify="right" if number else "left")
    for row in flat.itertuples(index=False):
        table.add_row(
            *(
                "–" if pd.isna(v) else f"{v:.4g}" if isinstance(v, float) else escape(str(v))
                for v in row
            )
        )
    return table
