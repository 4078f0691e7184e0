"""A run's page: scores against baselines, calibration, fusion weights, diagnostics, worst cases.

It is made from the files of evaluation and training in the run folder; only the experts, which are
in these files, forecast again.
"""

import dataclasses
import functools
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from fusionjax import ledger
from fusionjax.config import Config, Heads
from fusionjax.data import provenance
from fusionjax.data.names import CHANNEL_WORDS
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.errors import InputError, require_extra
from fusionjax.evaluate import diagnostics, readings
from fusionjax.evaluate.inference import STARTS
from fusionjax.evaluate.labels import Labels, of_days
from fusionjax.evaluate.readings import READ_AGAIN
from fusionjax.evaluate.table import Scores, grids
from fusionjax.report import cases, charts, experts, fusion, page, steps
from fusionjax.report.page import Section
from fusionjax.scores.intervals import NOT_ENOUGH
from fusionjax.train.step import META_LOSS

_SYMBOLS = 40  # on the price chart
_CONTEXT = 60  # sessions of price before the first forecast

_CURVES = {  # figures of a training: columns of its log
    "loss": "Loss",
    META_LOSS: "Loss of later data, held out (meta set)",
    "learning_rate": "Learning rate",
    "grad_norm": "Norm of the gradient",
}


def write(
    folder: Path,
    split: str,
    market: Market,
    config: Config,
    windows: Windows,
    records: list[ledger.Record],
) -> Path:
    """Writes ``report_<split>.html`` into a run folder; returns its path.

    Args:
      folder: of the run, scored on the split.
      split: what was scored.
      market: the data that it was scored on.
      config: of the run.
      windows: with the run's scaler, for the inputs of single cases.
      records: of the ledger.

    Raises:
      InputError: the split was not scored, or on other data, or Plotly is not installed.
    """
    require_extra("plots", "plotly")
    scores = Scores.read(folder / f"scores_{split}.json")
    rows = _outcomes(folder / f"outcomes_{split}.parquet", market)
    before = readings.overlapping(records, _labels(rows, market), config, None)
    loud = "IN SAMPLE", provenance.READ_BEFORE
    alarms = [line for line in scores.headline if line.startswith(loud)]
    alarms += readings.read_again(before)  # as it is now, not when these scores were made
    suspect = "SUSPECT, " if scores.suspect and not scores.answer else ""
    about = _About(folder, scores, rows, windows, diagnostics.logs(folder), before)
    return page.write_sections(
        folder / f"report_{split}.html",
        [*_of_forecasts(about), *_of_run(about)],
        title=f"{suspect}{config.name}: {split}",
        lead=[f"{x}." for x in _verdicts(scores)],
        facts=[f"{x}." for x in _facts(scores, alarms)],
        alarms=[*scores.marks, *alarms],
        library=charts.library(),
    )


@dataclasses.dataclass(frozen=True)
class _About:
    """What a run's page is made from."""

    folder: Path
    scores: Scores
    rows: pd.DataFrame  # the outcomes
    windows: Windows
    trainings: dict[Path, pd.DataFrame]  # logs by folder
    before: list[ledger.Record]  # scored on some of these days

    @functools.cached_property
    def curves(self) -> list[Any]:
        """Of all heads (``heads.curves.Curves``)."""
        config, market = self.windows.config, self.windows.market
        heads = config.targets.values()
        return [c for head in heads for c in head.curves(self.rows, market, config.evaluate)]


def _of_forecasts(about: _About) -> list[Section]:
    """What was forecast, from what, and how it came out."""
    rows, windows, seeds = about.rows, about.windows, [*about.trainings]
    market, config = windows.market, windows.config
    split = about.scores.name.removeprefix("scores_")
    return [
        Section("Scores", "The run beside the baselines, on the same samples and days, after what "
                "the run is beside each by the paired difference. Brackets are 95 % intervals.",
                _tables(about.scores)),
        Section("Steps", "From the simple models to the whole forecast. A point right of 0 is "
                "what this run is better by, with the 95 % interval of the paired difference, "
                "which says nothing where it holds 0. The run's own parts, its "
                "experts alone and itself calibrated, are in another colour.",
                steps.steps(about.scores)),
        Section("Experts", "The simple models that the forecast starts from, weighed once by later "
                "training data, the meta set, and the same on every day; of a training that was "
                "fine-tuned, as its parent's. The losses are those of the scored days.",
                experts.weights(seeds, rows, windows)),
        Section("Fusion weights", "How much each modality counts in the network's correction, on "
                "average over seeds and the samples where it counts at all.",
                fusion.weights(rows, config.modalities)),
        Section("Contributions", "What each modality changes: by how much the loss of later "
                "training rows rises when it shows another sample's content, about 0 for noise; "
                "what modality selection made of it; and its share in the network after that. "
                "Means over seeds.",
                fusion.contributions(seeds)),
        Section("Modalities", "How the loss rises when a modality's content is changed under the "
                "run, and what training with it gains over placebos: its content of other days "
                "and other stocks.",
                _ablation(about.folder / f"ablation_{split}.json")),
        Section("Prices", "Each mark is a call, at the close that it was made on. The band is "
                "where the price was expected at the first horizon, by the calibrated interval.",
                _prices(rows, market, config.targets) + _drawn("Prices", about.curves)),
        Section("Capital", "Equal positions in all calls, long or short, after costs in basis "
                "points of what is traded.", _drawn("Capital", about.curves)),
        Section("Calibration", "Share of rises by forecast probability; share of returns inside "
                "their interval; error when only the most confident forecasts are used.",
                _drawn("Calibration", about.curves)),
        Section("Worst cases", f"The most confident mistakes, at most {cases.CASES}, one an "
                "episode: wrong calls of a stock whose outcomes overlap or lie within "
                f"{cases.APART} sessions, or of several stocks on one day, are one. Each with what "
                "the model saw, or a forecaster from outside could have seen.",
                cases.cards(rows, market, config, windows)),
    ]  # fmt: skip


def _of_run(about: _About) -> list[Section]:
    """How the run was trained, on what, and beside which others."""
    return [
        Section("Diagnostics", "Anomalies by stage, with the likely cause and where to look.",
                _anomalies(about.folder)),
        Section("Training", "Of every seed. The loss of the meta set is of batches that encoders "
                "and heads have not trained on; it ends where the refit phase begins, which trains "
                "on them. Labels of the training loss are softened and its inputs augmented: "
                "compare how the two fall, not their levels.", _training(about.trainings)),
        Section("Drift", "Channels distributed otherwise after training (Kolmogorov-Smirnov "
                "distance), and the log loss over time.",
                _drift(about.folder) + _drawn("Drift", about.curves)),
        Section("Ledger", "All that was scored on some of these days, newest first, and the "
                "settings in which they differ.", _neighbours(about.before)),
    ]  # fmt: skip


def _outcomes(path: Path, market: Market) -> pd.DataFrame:
    if not path.exists():
        raise InputError(f"{path}: no such file; run fusionjax evaluate with this split first")
    rows = pd.read_parquet(path)
    known = rows["row"].max() < len(market.session)
    if not known or (market.adj_close[rows["row"]] != rows["close"].to_numpy()).any():
        raise InputError(
            f"{path}: its prices are not those of config.data; give the data that it was scored on"
        )
    return rows.sort_values(["target_day", "symbol"], ignore_index=True)


def _anomalies(folder: Path) -> list[Markup]:
    path = folder / "diagnostics.json"
    by_stage = json.loads(path.read_text()) if path.exists() else {}
    return [
        Markup("<h3>{}</h3>").format(stage)
        + Markup("").join(Markup("<p>{}</p>").format(x) for x in lines or ["no anomaly"])
        for stage, lines in by_stage.items()
    ]


def _verdicts(scores: Scores) -> list[str]:
    """One sentence for each target."""
    sentences = []
    for t in scores.tables:
        baseline_rows = t.others
        if any(r.verdict.startswith(NOT_ENOUGH) for r in baseline_rows):
            sentences.append(f"{t.target.capitalize()}: {baseline_rows[0].verdict} to compare")
            continue
        count = {v: sum(r.verdict == v for r in baseline_rows) for v in ("better", "worse")}
        others = len(baseline_rows) - sum(count.values())
        sentences.append(
            f"{t.name.capitalize()}: by {t.compared} better than {count['better']} of "
            f"{len(baseline_rows)} baselines, worse than {count['worse']}, not distinguishable "
            f"from {others}"
        )
    return sentences


def _ablation(path: Path) -> list[Markup]:
    if not path.exists():
        return []
    tables = json.loads(path.read_text())
    frames = {k: pd.DataFrame(t["data"]).set_index("modality") for k, t in tables.items()}
    return [page.table(f.T if k == "placebos" else f, 100) for k, f in frames.items()]


def _tables(scores: Scores) -> list[Markup]:
    parts = []
    for target in scores.tables:
        for i, (title, columns, rows) in enumerate(grids(target)):
            # Every metric and every part are folded away: few readers need them at once.
            frame = pd.DataFrame([r[1:] for r in rows], columns=columns[1:],
                                 index=[r[0] for r in rows])  # fmt: skip
            if i == 0:  # the verdict first: on a phone the columns behind it are out of sight
                frame.insert(0, f"this run is, by {target.compared}", frame.pop(columns[-1]))
            table = page.table(frame, 200)
            parts.append(
                Markup("<h3>{}</h3>{}").format(title, table)
                if i == 0
                else Markup("<details><summary>{}</summary>{}</details>").format(title, table)
            )
    return parts


def _prices(rows: pd.DataFrame, market: Market, heads: Heads) -> list[Markup]:
    """Of the first head that calls a direction and the first that has an interval."""
    calls = next(filter(None, (h.calls(rows) for h in heads.values())), None)
    band = next(filter(None, (h.band(rows) for h in heads.values())), None)
    if calls is None:
        return []
    rows = rows.assign(up=calls.up, right=calls.right, label=calls.label)
    if band is not None:
        low, high = (rows["close"] * np.exp(x) for x in band)
        rows = rows.assign(low=low, high=high)
    panels, past = {}, {}
    for symbol, own in itertools.islice(rows.groupby("symbol"), _SYMBOLS):
        panels[str(symbol)] = own
        first = max(own["row"].min() - _CONTEXT, market.first_row[own["row"].min()])
        span = np.arange(first, own["row"].max() + 1)
        past[str(symbol)] = pd.DataFrame(
            {"day": market.session[span].astype("datetime64[s]"), "close": market.adj_close[span]}
        )
    return [charts.prices(panels, past)]


def _drawn(section: str, curves: list[Any]) -> list[Markup]:
    """The figures that stand in one section."""
    return [
        (Markup("<h3>{}</h3>").format(c.title) if c.title else Markup(""))
        + charts.lines(c.lines, c.x, c.y)
        for c in curves
        if c.section == section
    ]


def _training(trainings: dict[Path, pd.DataFrame]) -> list[Markup]:
    parts = []
    for column, title in _CURVES.items():
        curves = {
            folder.name: (known["step"], known[column])
            for folder, log in trainings.items()
            if column in log and len(known := log[log[column].notna()])
        }
        if curves:
            parts += [Markup("<h3>{}</h3>").format(title), charts.lines(curves, "step")]
    return parts


def _drift(folder: Path) -> list[Markup]:
    parts: list[Markup] = []
    if (folder / "audit.json").exists():
        tables = json.loads((folder / "audit.json").read_text())["tables"]
        table = next((t for title, t in tables.items() if title.startswith("channels")), None)
        if table is not None:
            frame = pd.DataFrame(table["data"])
            frame = frame[frame["used"] & frame["KS later"].notna()]
            frame = frame.sort_values("KS later", ascending=False)
            names = [CHANNEL_WORDS.get(name, name) for name in frame["channel"]]
            parts.append(charts.bars(names, frame["KS later"], x="KS distance"))
    return parts


def _labels(rows: pd.DataFrame, market: Market) -> Labels:
    """What was read to score these rows."""
    days = rows["target_day"].to_numpy().astype("datetime64[D]")
    symbols = np.unique(market.symbol[rows["row"].to_numpy()])
    return of_days(market, days.min(), days.max(), symbols)


def _facts(scores: Scores, alarms: list[str]) -> list[str]:
    """The headline without what is shown as an alarm, or in the section of the experts."""
    name = scores.headline[0].partition(": ")[0]
    elsewhere = (READ_AGAIN, f"{name} {STARTS}")
    return [h for h in scores.headline if h not in alarms and not h.startswith(elsewhere)]


def _neighbours(before: list[ledger.Record]) -> list[Markup]:
    return [page.table(ledger.table(before), 40)] if before else []
