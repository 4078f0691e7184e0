"""The sweep's page: every point, and for a sensitivity sweep the effect of each setting."""

from pathlib import Path

from fusionjax.config import Config
from fusionjax.evaluate import leaks
from fusionjax.evaluate.selection import objective_in_words
from fusionjax.evaluate.sweep import Point, effects, table
from fusionjax.report import charts, page

_ROWS = 400


def write(config: Config, points: list[Point], folder: Path) -> Path:
    """Writes ``sweep.html`` into a folder; returns its path."""
    sections = []
    if config.sweep.method == "sensitivity":
        ranked = effects(points)
        sections.append(
            page.Section(
                "What matters most",
                "Change of the objective when one setting alone is changed; lower is better. Bars "
                "are standard errors over seeds.",
                [charts.bars(ranked["setting"].tolist(), ranked["change"], ranked["noise"])],
            )
        )
    sections.append(
        page.Section(
            "Points, best first",
            f"The objective, {objective_in_words(config.targets)}, on "
            f"{config.selection.folds} folds ({config.selection.scheme}) inside the split "
            f"{config.train.split}; mean over seeds.",
            [page.table(table(points), _ROWS)],
        )
    )
    return page.write_sections(
        folder / "sweep.html",
        sections,
        title=f"Sweep: {config.name}",
        lead=[f"{config.sweep.method}, {len(points)} points."],
        alarms=leaks.marks(
            (line for _, record, _ in points for line in record.suspect),
            config.evaluate.leak_alarm_override,
        ),
        library=charts.library(),
    )
