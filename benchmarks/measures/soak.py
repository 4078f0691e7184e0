"""Does a long training leak? Trends of memory, files, threads and step time over its log."""

import dataclasses
from pathlib import Path

import numpy as np
from rich.table import Table
from scipy import stats

from fusionjax import files
from fusionjax.errors import InputError

_WARM = 0.1  # of the rows, at the start, that are left out: buffers fill, caches settle
# What may not grow, with the share of its level that it may grow by over the whole training.
WATCHED = {
    "host_bytes": 0.02,
    "open_files": 0.0,
    "threads": 0.0,
    "step_seconds_p50": 0.05,
}


@dataclasses.dataclass(frozen=True)
class Trend:
    """One quantity over a training.

    Attributes:
      what: its name in the log.
      level: median.
      growth: over the whole training, by the median of all pairs' slopes (Theil, 1950; Sen, 1968).
      interval: of the growth, 95 %.
      bar: growth that is still flat.
    """

    what: str
    level: float
    growth: float
    interval: tuple[float, float]
    bar: float

    @property
    def flat(self) -> bool:
        """Whether it surely does not grow by more than the bar."""
        return self.interval[1] <= self.bar * self.level


def trends(folder: Path) -> list[Trend]:
    """Of what a training logged into its folder.

    Raises:
      InputError: there are too few rows.
    """
    rows = [*files.json_lines(folder / "metrics.jsonl")]
    rows = rows[round(len(rows) * _WARM) :]
    if len(rows) < 20:
        raise InputError(f"{folder}: {len(rows)} logged rows; a trend needs 20, train for longer")
    step = np.array([r["step"] for r in rows], float)
    fitted = []
    for name, bar in WATCHED.items():
        values = np.array([r[name] for r in rows], float)
        slope, _, low, high = stats.theilslopes(values, step)
        length = step[-1] - step[0]
        changes = (float(x * length) for x in (slope, low, high))
        growth, *interval = changes
        fitted.append(Trend(name, float(np.median(values)), growth, tuple(interval), bar))  # type: ignore[arg-type]
    return fitted


def for_screen(trends: list[Trend], steps: int) -> Table:
    """One row a quantity."""
    table = Table(title=f"Growth over {steps:,} steps", title_justify="left")
    for column in ("what", "level", "growth", "95 % interval", "per 1,000 steps", "flat"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for trend in trends:
        table.add_row(
            trend.what,
            f"{trend.level:.4g}",
            f"{trend.growth:.3g}",
            f"[{trend.interval[0]:.3g}, {trend.interval[1]:.3g}]",
            f"{trend.growth / steps * 1000:.3g}",
            "yes" if trend.flat else "no",
        )
    return table
