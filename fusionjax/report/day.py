"""A served day's page: forecasts, drift, and which model serves and why."""

from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from fusionjax.report import charts, page
from fusionjax.report.page import Section

_ROWS = 500


def write(day: dict[str, Any], path: Path) -> Path:
    """Writes the page of a day, as ``adapt.daily.serve`` records it; returns its path."""
    frame = pd.json_normalize(day["forecasts"]).set_index("symbol")
    forecasts = frame.drop(columns=["session", "decision_time"])
    changes = day["drift"] or ["nothing left its level"]
    scores = day["robustness"]
    shifts = pd.DataFrame(day["shifts"], dtype=float).T.assign(robustness=scores)
    sections = [
        Section("Forecasts", "For the next session, from what was known at the decision time; "
                "calibrated on labels that have matured since training.",
                [page.table(forecasts, _ROWS)]),
        Section("Drift", "Series of inputs, labels, errors and weights that left their level, "
                "since when, and what did not.",
                [Markup("").join(Markup("<p>{}</p>").format(x) for x in changes)]),
        Section("Robustness", "Of each channel: 1 is distributed as in training, 0 not at all; "
                "from its population stability index (PSI) less what chance gives. KS is the "
                "largest distance of the two distributions.",
                [charts.bars(list(scores), list(scores.values()), x="robustness"),
                 page.table(shifts, _ROWS)]),
        Section("Update", "Whether the model was updated, and how the promotion gate decided, on "
                "labels that neither it nor its parent had seen.",
                [Markup("<p>{}</p>").format(day["update"]["why"])]),
    ]  # fmt: skip
    return page.write(
        path,
        "page.html.j2",
        title=f"After {day['day']}",
        lead=f"{day['serving']} forecasts {len(frame)} stock(s). "
        f"{day['alarms']} alarm(s). Update: {day['update']['why']}.",
        library=charts.library(),
        sections=sections,
    )
