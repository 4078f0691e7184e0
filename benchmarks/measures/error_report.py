"""Runs the measurements of ``benchmarks/error_rates.py`` and tells them as tables."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from benchmarks.measures import error_gates, error_rates, error_tables
from benchmarks.measures.error_gates import Rate
from benchmarks.measures.error_rates import BEFORE, CHOSEN_ON, METHODS, OURS, Cell, grid
from benchmarks.measures.error_worlds import World
from fusionjax.evaluate.table import text as markdown
from fusionjax.scores.intervals import least_days

_SEED, _CHOICE_SEED = 2_026, 7


def run(part: str, whole: bool, count: int, chosen_on: bool) -> Sequence[Cell | Rate]:
    """The cells of one part: days, methods, tables, gate, placebos or inputs."""
    seed = _CHOICE_SEED if chosen_on else _SEED
    days = error_rates.DAYS if whole else (42, 100)
    if part in ("days", "methods"):
        stocks = error_rates.STOCKS if whole and part == "days" else (1, 20)
        methods = (OURS, BEFORE) if part == "days" else (BEFORE, *METHODS)
        worlds = [
            _as_chosen(w) if chosen_on else w for w in grid((*days, least_days(1, True)), stocks)
        ]
        return [c for w in worlds for c in error_rates.measure(w, count, seed, methods)]
    third = max(count // 3, 10)
    if part == "tables":
        worlds = [World(n, s, h, 0.8) for n in (42, 100) for s in (1, 20) for h in (1, 5)]
        return [
            c for w in worlds[:: 1 if whole else 4] for c in error_tables.measure(w, third, seed)
        ]
    if part == "gate":
        sessions = (63, 100, 250) if whole else (63,)
        worlds = [World(n, 20, h, p) for n in sessions for h in (1, 5) for p in (0.0, 0.8, 0.95)]
        return [r for w in worlds for r in error_gates.gate(w, count, seed)]
    if part == "placebos":
        kinds = [(shared, way) for shared in ("day", "stock", "sample") for way in (False, True)]
        return [r for k, way in kinds for r in error_gates.placebos(k, 63, third, seed, way)]
    return [error_gates.distances(p, count, seed) for p in (0.0, 0.3, 0.5, 0.9)]


def _as_chosen(world: World) -> World:
    return dataclasses.replace(world, **CHOSEN_ON)  # type: ignore[arg-type]


def text(part: str, made: Sequence[Cell | Rate]) -> str:
    """One part's results as a Markdown table."""
    rates = [m for m in made if isinstance(m, Rate)]
    if rates:
        rows = [[r.what, r.kind, r.nominal, f"{100 * r.share:.1f} %"] for r in rates]
        return markdown((part, ["", "worlds", "nominal", "measured"], rows))
    cells = [m for m in made if isinstance(m, Cell)]
    return _methods(cells) if part == "methods" else _days(part, cells)


def _days(part: str, cells: list[Cell]) -> str:
    """A row a statement and method; of each number of days the range over all other settings."""
    days = sorted({c.world.days for c in cells})
    rows = []
    for name in dict.fromkeys((c.statement, c.method) for c in cells):
        same = [c for c in cells if (c.statement, c.method) == name]
        rows.append([*name, *(_range([c for c in same if c.world.days == n]) for n in days)])
    columns = ["statement", "method", *(f"{n} days" for n in days)]
    return markdown((f"{part}: % wrong, least to most, and effect found / oracle's", columns, rows))


def _range(cells: list[Cell]) -> str:
    wrong = [100 * c.wrong for c in cells if np.isfinite(c.wrong)]
    if not wrong:
        return "none"
    finds = [c.finds for c in cells if np.isfinite(c.finds)]
    said = "" if len(wrong) == len(cells) else f", {len(wrong)} of {len(cells)} kinds"
    effect = f" ({np.median(finds):.2f})" if finds else ""
    return f"{min(wrong):.1f}-{max(wrong):.1f}{effect}{said}"


def _methods(cells: list[Cell]) -> str:
    """A row a method: how many of its paired verdicts' cells hold, and the worst."""
    rows = []
    for method in dict.fromkeys(c.method for c in cells):
        paired = [c for c in cells if c.method == method and c.statement.endswith("paired")]
        said = [c for c in paired if np.isfinite(c.wrong)]
        held = sum(bool(error_rates.holds(c)) for c in said)
        worst = [max([c.wrong for c in said if c.world.persistence == p], default=np.nan)
                 for p in error_rates.PERSISTENCE]  # fmt: skip
        cells_of = [f"{len(said)} of {len(paired)}", f"{held}"]
        rows.append([method, *cells_of, *(f"{100 * w:.1f}" for w in worst),
                     f"{np.median([c.finds for c in said]):.2f}"])  # fmt: skip
    columns = ["paired verdicts", "given in kinds", "at most 6.5 % wrong"]
    columns += [f"worst %, AR {p}" for p in error_rates.PERSISTENCE]
    return markdown(("methods", [*columns, "effect found / oracle's"], rows))
