"""Tables of scores, one a target, each number with its interval: for the terminal and files."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import dacite
import numpy as np
from rich.table import Table

from fusionjax import files
from fusionjax.errors import InputError
from fusionjax.evaluate import leaks
from fusionjax.evaluate.scoring import UNFILTERED, ForecasterScores, Part, TargetTable
from fusionjax.registry import HEADS

_DIGITS = {"pinball": 5, "CRPS": 5}  # other metrics: 3


@dataclasses.dataclass(frozen=True)
class Scores:
    """The tables of a run, and the lines above them."""

    name: str  # of the files
    headline: list[str]
    tables: list[TargetTable]
    answer: str = ""  # why its leak alarms are no leaks
    key: str = ""  # of what was scored, by which an answer finds its scores

    @property
    def metrics(self) -> dict[str, float]:
        """Every metric of the first row of each table: ``target: metric``, and with the table's
        variant in the others of a head: ``target 5d: metric``."""
        return {f"{t.name}: {k}": v for t in self.tables for k, v in t.rows[0].values.items()}

    @property
    def suspect(self) -> list[str]:
        """The leak alarms of all tables."""
        return [line for t in self.tables for line in t.suspect]

    @property
    def marks(self) -> list[str]:
        """What must stand wherever the scores are shown."""
        return leaks.marks(self.suspect, self.answer)

    @staticmethod
    def read(path: Path) -> "Scores":
        """Reads what ``save`` wrote.

        Raises:
          InputError: no such file, or another kind of file.
        """
        try:
            return dacite.from_dict(
                Scores, json.loads(path.read_text()), dacite.Config(cast=[tuple])
            )
        except FileNotFoundError as e:
            raise InputError(f"{path}: no such file; score that split: fusionjax evaluate") from e
        except (json.JSONDecodeError, dacite.DaciteError) as e:
            raise InputError(f"{path}: no scores ({e}); run fusionjax evaluate again") from e

    def save(self, folder: Path) -> None:
        """Writes the scores as JSON and as Markdown."""
        files.write_text(folder / f"{self.name}.json", json.dumps(dataclasses.asdict(self)))
        files.write_text(folder / f"{self.name}.md", markdown(self))


Grid = tuple[str, list[str], list[list[str]]]  # title, columns, rows


def grids(table: TargetTable) -> list[Grid]:
    """Three grids: against the baselines, every metric of the model, parts of the period."""
    first = table.rows[0]
    single_seeds = table.rows[1] if len(table.rows) > 1 and table.rows[1].over_seeds else None
    every_metric = [
        [
            metric,
            *_cells(first, (metric,)),
            _cells(single_seeds, (metric,))[0] if single_seeds else "–",
            _effect(table.detectable[metric], _DIGITS.get(metric, 3)),
        ]
        for metric in first.values
    ]
    tables: list[Grid] = [
        (
            title(table),
            ["", *table.shown, f"model is (paired {table.compared})"],
            [[r.name, *_cells(r, table.shown), r.verdict] for r in table.rows],
        ),
        (
            f"every metric of {first.name}{_without_interval(first)}",
            ["", "value", "one seed: mean ± std", "detectable"],
            every_metric,
        ),
    ]
    if table.parts:
        tables.append(
            (
                "by part of the period",
                ["", "", "samples", *table.shown],
                [[p.by, p.name, f"{p.samples:,}", *_cells(p, table.shown)] for p in table.parts],
            )
        )
    return tables


def _cells(row: ForecasterScores | Part, columns: tuple[str, ...]) -> list[str]:
    cells = []
    for column in columns:
        value = row.values.get(column, np.nan)
        if not np.isfinite(value):
            cells.append("–")
            continue
        low, high = row.spread[column]
        digits = _DIGITS.get(column, 3)
        v = _short(value, digits)
        if isinstance(row, ForecasterScores) and row.over_seeds:
            v += f" ±{_short((high - low) / 2, digits)}"
        elif np.isfinite(low):
            v += f" [{_short(low, digits)}, {_short(high, digits)}]"
        cells.append(v)
    return cells


def _without_interval(row: ForecasterScores) -> str:
    """The metrics whose error these days do not tell."""
    bare = [k for k, v in row.values.items() if np.isfinite(v) and np.isinf(row.spread[k][0])]
    return f"; too few days, or no interval that holds, for {', '.join(bare)}" if bare else ""


def _effect(value: float, digits: int) -> str:
    return _short(value, digits) if np.isfinite(value) else "–"


def number(value: float, metric: str) -> str:
    """A metric's value as the tables show it."""
    return _short(value, _DIGITS.get(metric, 3))


def _short(value: float, digits: int) -> str:
    """Without the zero before the point."""
    return f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"


def title(table: TargetTable) -> str:
    """What is forecast, and of how many samples."""
    sessions = "next session's" if table.horizon == 1 else f"next {table.horizon} sessions'"
    every = f" ({UNFILTERED})" * table.variant.endswith(UNFILTERED)
    return f"{sessions} {HEADS[table.target].title}{every}: {table.samples:,} samples"


def for_screen(scores: Scores) -> list[Table]:
    """The grids against the baselines, for a terminal; files have the others."""
    return [screen(grids(target)[0]) for target in scores.tables]


def screen(grid: Grid) -> Table:
    """A grid for a terminal, its first row bold."""
    title, columns, rows = grid
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        # Folded, never cut: two runs may differ in the last letters of their folders.
        side: Literal["left", "right"] = "right" if 0 < i < len(columns) - 1 else "left"
        table.add_column(column, justify=side, overflow="fold")
    for i, row in enumerate(rows):
        table.add_row(*row, style="bold" if i == 0 else None)
    return table


def markdown(scores: Scores) -> str:
    """The tables for a file."""
    head = "\n".join([*scores.headline, *scores.marks]) + "\n"
    return head + "".join(text(g) for t in scores.tables for g in grids(t))


def text(grid: Grid) -> str:
    """A grid in Markdown."""
    title, columns, rows = grid
    head = f"\n{title}\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows)
