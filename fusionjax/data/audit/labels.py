"""Audit of labels: class shares, and whether the splits agree."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.audit.finding import STOP, WATCH, Finding, judged
from fusionjax.data.store import Market

_ONE_SIDED, _APART = 0.75, 0.15


def findings(market: Market, config: Config, tables: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """Yields the finding on labels; adds a table."""
    rows, (target, head) = [], config.classifier
    for name, (first, last) in config.data.splits.items():
        split = samples.between(market, config, np.datetime64(first), np.datetime64(last))
        label, mask = split.targets.label[target], split.targets.mask[target]
        for i, horizon in enumerate(head.horizons):
            known = label[mask[:, i], i]
            counts = np.bincount(known, minlength=len(head.class_names))
            rows.append((name, horizon, len(split), len(known), *counts / max(len(known), 1)))
    columns = ["split", "horizon", "samples", "scored", *head.class_names]
    table = pd.DataFrame(rows, columns=columns)
    tables["labels"] = table.set_index(["split", "horizon"])
    shares = table[list(head.class_names)]
    scored = table["scored"] > 0
    trained = table["split"] == config.train.split
    lacking_class = table[scored & (shares == 0).any(axis=1)]
    empty = table[table["samples"] == 0]
    bad = trained.loc[lacking_class.index].any() or trained.loc[empty.index].any()
    largest = shares[scored].max().max() if scored.any() else 0.0
    spread = (shares[scored].max() - shares[scored].min()).max() if scored.any() else 0.0
    odd = largest > _ONE_SIDED or spread > _APART or len(lacking_class) or len(empty)
    what = f"the largest class has at most {largest:.1%}, and splits differ by at most {spread:.1%}"
    if len(lacking_class):
        named = ", ".join(f"{r.split} at {r.horizon}" for r in lacking_class.itertuples())
        what += f"; a class never occurs in {named}"
    if len(empty):
        what += f"; without a sample: {', '.join(dict.fromkeys(empty['split']))}"
    level = STOP if bad else WATCH if odd else None
    yield judged(
        "labels", level, what, "check config.targets and config.data.splits against the bars"
    )
