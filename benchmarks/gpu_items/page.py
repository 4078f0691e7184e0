"""The report: a table for people, Markdown for docs/gpu.md, JSON for machines.

Every number of a rehearsal carries the word, so that none can be taken for a card's.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from fusionjax import files
from gpu_items.runner import GpuReport, ItemOutcome

_COLUMNS = ("item", "what", "median", "least to most", "n", "unit", "goal", "reached", "note")


def name(report: GpuReport) -> str:
    """Of the files, without their endings."""
    return "gpu_rehearsal" if report.rehearsal else "gpu"


def save(report: GpuReport, folder: Path) -> None:
    """Writes the report as JSON and Markdown."""
    rows = [
        {
            "item": o.item.number,
            "name": o.item.name,
            "status": o.status,
            "why": o.why,
            "seconds": o.seconds,
            "figures": [{"rehearsal": report.rehearsal, **f} for f in o.figures],
        }
        for o in report.outcomes
    ]
    raw = {**dataclasses.asdict(dataclasses.replace(report, outcomes=[])), "outcomes": rows}
    files.write_text(folder / f"{name(report)}.json", json.dumps(raw, indent=1))
    files.write_text(folder / f"{name(report)}.md", text(report))


def text(report: GpuReport) -> str:
    """The report in Markdown: the machine, a row a figure, a line an item."""
    m = report.machine
    versions = ", ".join(f"{k} {v}" for k, v in m["versions"].items())
    lines = [
        f"{m['card']}, driver {m['driver']}; Python {m['python']}, {versions}; {m['cpus']} CPUs",
        f"`{report.command}`, {report.date}",
        "",
    ]
    if report.rehearsal:
        lines[:0] = ["**A rehearsal on the CPU at toy widths. None of this is a card's.**", ""]
    lines += [_row(_COLUMNS), _row(("---",) * len(_COLUMNS))]
    for outcome in report.outcomes:
        lines += [_row(cells) for cells in _figures(outcome, report.rehearsal)]
    lines.append("")
    lines += [f"- {_summary(outcome)}" for outcome in report.outcomes]
    return "\n".join(lines) + "\n"


def _summary(o: ItemOutcome) -> str:
    why = f": {o.why}" if o.why else ""
    return f"{o.item.number}, {o.item.name}: {o.status}{why} ({o.seconds:.0f} s)"


def _figures(outcome: ItemOutcome, rehearsal: bool) -> list[tuple[str, ...]]:
    number = f"{outcome.item.number} {outcome.item.name}"
    rows = [(number, *_cells(figure, rehearsal)) for figure in outcome.figures]
    if outcome.status in ("failed", "not run", "stopped"):
        rows.append((number, f"**{outcome.status}**", *("",) * 6, outcome.why))
    return rows


def _cells(f: dict[str, Any], rehearsal: bool) -> tuple[str, ...]:
    """From ``what`` on."""
    if "missing" in f:
        return (f["what"], *("–",) * 6, f["missing"])
    mark = "rehearsal " if rehearsal else ""
    if "text" in f:
        return (f["what"], *("",) * 6, mark + f["text"])
    if "holds" in f:
        return (f["what"], mark + ("yes" if f["holds"] else "NO"), *("",) * 5, f["note"])
    values = np.array(f["values"])
    spread = f"{_short(values.min())} to {_short(values.max())}" if len(values) > 1 else ""
    middle, least, most = float(np.median(values)), f["at_least"], f["at_most"]
    goal = " ".join(
        f"{sign} {_short(x)}" for sign, x in (("≥", least), ("≤", most)) if x is not None
    )
    good = (least is None or middle >= least) and (most is None or middle <= most)
    reached = "" if not goal else "not judged" if rehearsal else "yes" if good else "NO"
    spread = mark + spread if spread else ""
    middle_cell = mark + _short(middle)
    return f["what"], middle_cell, spread, str(len(values)), f["unit"], goal, reached, f["note"]


def _short(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(c.replace("|", "/").replace("\n", " ") for c in cells) + " |"
