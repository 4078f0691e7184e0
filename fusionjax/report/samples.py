"""Tables of samples: those whose weight was changed and why, and the parts of one."""

import jax
import numpy as np
from rich.console import Group
from rich.table import Table

from fusionjax.data import provenance
from fusionjax.data.windows import Windows
from fusionjax.train.quarantine import Entry


def of_all(entries: dict[int, Entry]) -> Table:
    """One row for each sample with a changed weight."""
    table = Table(
        title=f"{len(entries)} sample(s) with a weight of their own", title_justify="left"
    )
    for column in ("sample", "weight", "from step", "why"):
        table.add_column(column, overflow="fold")
    for entry in entries.values():
        weight = "out" if entry.weight == 0 else f"{entry.weight:g}"
        table.add_row(provenance.named(entry.sample), weight, str(entry.since), entry.why)
    return table


def of_one(windows: Windows, row: int, entries: dict[int, Entry]) -> Group:
    """A sample's sources and decision time, and a summary of each of its arrays."""
    described = windows.describe(row)
    facts = Table(title=f"sample {provenance.named(described)}", title_justify="left")
    facts.add_column("what")
    facts.add_column("is", overflow="fold")
    entry = entries.get(row)
    facts.add_row("weight", "1" if entry is None else f"{entry.weight:g}: {entry.why}")
    facts.add_row("decision", described["decision_time"])
    for source in described["sources"]:
        facts.add_row("source", source)
    arrays = Table(title="what the model sees", title_justify="left")
    for column in ("array", "shape", "present", "lowest", "median", "highest", "non-finite"):
        arrays.add_column(column, justify="left" if column == "array" else "right")
    batch = windows.one(row)
    for name, modality in batch.inputs.items():
        for path, x in jax.tree_util.tree_leaves_with_path(modality):
            values = np.asarray(x[0], float)
            known = values[np.isfinite(values)]
            figures = [f"{f(known):.4g}" for f in (np.min, np.median, np.max)] if known.size else ""
            arrays.add_row(
                f"{name}{jax.tree_util.keystr(path)}",
                "×".join(map(str, values.shape)) or "1",
                "yes" if batch.present[name][0] else "no",
                *(figures or ["", "", ""]),
                str(values.size - known.size),
            )
    return Group(facts, arrays)
