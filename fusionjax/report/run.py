"""A run's page: scores against baselines, calibration, fusion weights, diagnostics, worst cases.

It is made from the files of evaluation and training in the run folder; nothing is forecast again.
"""

import base64
import io
import itertools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from markupsafe import Markup

from fusionjax import ledger
from fusionjax.config import Config, Heads, Modalities
from fusionjax.data.samples import unlabelled
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.errors import InputError, require_extra
from fusionjax.evaluate import diagnostics, readings
from fusionjax.evaluate.labels import Labels, of_days
from fusionjax.evaluate.readings import READ_AGAIN
from fusionjax.evaluate.scoring import EXPERTS_ALONE
from fusionjax.evaluate.table import Scores, grids
from fusionjax.modalities.base import Heat, Picture, Pixels
from fusionjax.report import charts, experts, page
from fusionjax.report.page import Section
from fusionjax.scores.intervals import NOT_ENOUGH

_SYMBOLS = 40  # on the price chart
_CONTEXT = 60  # sessions of price before the first forecast, and beside a case
_CASES = 20  # of the most confident mistakes
_LETTERS = 280  # of a text


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
    trainings = diagnostics.logs(folder)
    curves = [
        c for head in config.targets.values() for c in head.curves(rows, market, config.evaluate)
    ]
    sections = [
        Section("Scores", "The run beside the baselines, on the same samples and days. "
                "Brackets are 95 % intervals; the last column is paired.", _tables(scores)),
        Section("Diagnostics", "Anomalies by stage, with the likely cause and where to look.",
                _anomalies(folder)),
        Section("Prices", "Each mark is a call, at the close that it was made on. The band is "
                "where the price was expected at the first horizon, by the calibrated interval.",
                _prices(rows, market, config.targets)),
        Section("Capital", "Equal positions in all calls, long or short, after costs in basis "
                "points of what is traded.", _drawn("Capital", curves)),
        Section("Calibration", "Share of rises by forecast probability; share of returns inside "
                "their interval; error when only the most confident forecasts are used.",
                _drawn("Calibration", curves)),
        Section("Experts", "The simple models that the forecast starts from, by what later "
                "training data gave each; of a training that was fine-tuned, as its parent's.",
                experts.weights(list(trainings), config)),
        Section("Fusion weights", "Mean weight of each modality where it was present.",
                _weights(rows, config.modalities)),
        Section("Contributions", "The fusion's own diagnosis on the latest training rows, "
                "after modality selection; bars are the first seed's.",
                _contributions(list(trainings))),
        Section("Training", "Of every seed.", _training(trainings)),
        Section("Drift", "Channels distributed otherwise after training (Kolmogorov-Smirnov "
                "distance), and the log loss over time.",
                _drift(folder) + _drawn("Drift", curves)),
        Section("Worst cases", f"The {_CASES} most confident mistakes, each with what the model "
                "saw, or a forecaster from outside could have seen.",
                _cases(rows, market, config, windows)),
        Section("Ledger", "All that was scored on some of these days, newest first, and the "
                "settings in which they differ.", _neighbours(before)),
    ]  # fmt: skip
    ablated = folder / f"ablation_{split}.json"
    if ablated.exists():
        sections.insert(5, Section("Modalities", "How the loss rises when a modality's content is "
                        "changed under the run, and what training with it gains over placebos: "
                        "its content of other days and other stocks.",
                        _ablation(ablated)))  # fmt: skip
    alarms = [line for line in scores.headline if line.startswith("IN SAMPLE")]
    alarms += readings.read_again(before)  # as it is now, not when these scores were made
    suspect = "SUSPECT, " if scores.suspect and not scores.answer else ""
    return page.write(
        folder / f"report_{split}.html",
        "page.html.j2",
        title=f"{suspect}{config.name}: {split}",
        lead=". ".join([*_facts(scores, alarms), *_verdicts(scores)]) + ".",
        alarms=[*scores.marks, *alarms],
        library=charts.library(),
        sections=[s for s in sections if s.parts],
    )


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
        ours = (EXPERTS_ALONE, ", calibrated")
        baseline_rows = [r for r in t.rows[1:] if r.verdict and not r.name.endswith(ours)]
        if any(r.verdict.startswith(NOT_ENOUGH) for r in baseline_rows):
            sentences.append(f"{t.target.capitalize()}: {baseline_rows[0].verdict} to compare")
            continue
        count = {v: sum(r.verdict == v for r in baseline_rows) for v in ("better", "worse")}
        sentences.append(
            f"{t.name.capitalize()}: by {t.compared} better than {count['better']} of "
            f"{len(baseline_rows)} baselines, worse than {count['worse']}"
        )
    return sentences


def _ablation(path: Path) -> list[Markup]:
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
        return [Markup("<p>No head calls a direction.</p>")]
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
    """Those of the heads' curves (``heads.curves.Curves``) that stand in one section."""
    return [
        (Markup("<h3>{}</h3>").format(c.title) if c.title else Markup(""))
        + charts.lines(c.lines, c.x, c.y)
        for c in curves
        if c.section == section
    ]


def _weights(rows: pd.DataFrame, modalities: Modalities) -> list[Markup]:
    names = [m for m in modalities if f"weight.{m}" in rows]
    if not names:  # forecasts of a file
        return []
    present = rows[[f"weight.{m}" for m in names]].where(lambda x: x > 0).set_axis(names, axis=1)
    daily = present.groupby(rows["target_day"]).mean()
    when = pd.DatetimeIndex(daily.index).strftime("%Y-%m-%d").tolist()
    by = present.groupby(rows["symbol"]).mean()
    return [
        charts.lines({m: (when, daily[m].to_numpy()) for m in names}, y="mean weight"),
        charts.heatmap(
            by.to_numpy(float).T,
            x=[str(s) for s in by.index],
            y=names,
            height=120 + 36 * len(names),
        ),
    ]


def _contributions(seeds: list[Path]) -> list[Markup]:
    diagnoses = [json.loads(p.read_text()) for s in seeds if (p := s / "fusion.json").exists()]
    if not seeds:  # forecasts of a file
        return []
    if not diagnoses:
        return [Markup("<p>Only the distilled fusion diagnoses itself (model.fusion).</p>")]
    first, settled = diagnoses[0], diagnoses[0]["settled"]
    names = list(first["modalities"])
    earned = "earned" if "earned" in first else "worth"  # runs before placebos were averaged
    lines = dict.fromkeys(itertools.chain.from_iterable(f["anomalies"] for f in diagnoses))
    return [
        Markup("<h3>Share of all contribution</h3>"),
        charts.bars(names, settled["share"], x="share"),
        Markup("<h3>Variance of contribution over a modality's feature dimensions</h3>"),
        charts.bars(names, settled["within"], x="variance over squared mean"),
        Markup("<p>Across all dimensions of all modalities: {:.3g}.</p>").format(settled["across"]),
        Markup("<h3>Earned: rise of the later loss with other samples' in its place</h3>"),
        charts.bars(names, first[earned], first["error"], "loss", line=0.0),
        Markup("").join(Markup("<p>{}</p>").format(line) for line in lines),
    ]


def _training(trainings: dict[Path, pd.DataFrame]) -> list[Markup]:
    parts = []
    for column in ("loss", "learning_rate", "grad_norm"):
        curves = {s.name: (f["step"], f[column]) for s, f in trainings.items() if column in f}
        if curves:
            parts += [
                Markup("<h3>{}</h3>").format(column.replace("_", " ")),
                charts.lines(curves, "step"),
            ]
    return parts


def _drift(folder: Path) -> list[Markup]:
    parts = []
    if (folder / "audit.json").exists():
        tables = json.loads((folder / "audit.json").read_text())["tables"]
        table = next((t for title, t in tables.items() if title.startswith("channels")), None)
        if table is not None:
            frame = pd.DataFrame(table["data"])
            frame = frame[frame["used"] & frame["KS later"].notna()]
            frame = frame.sort_values("KS later", ascending=False)
            parts.append(charts.bars(frame["channel"].tolist(), frame["KS later"], x="KS distance"))
    return parts


def _cases(rows: pd.DataFrame, market: Market, config: Config, windows: Windows) -> list[Markup]:
    calls = next(filter(None, (h.calls(rows) for h in config.targets.values())), None)
    if calls is None:
        return [Markup("<p>No head calls a direction.</p>")]
    called = rows.assign(confidence=calls.confidence, outcome=calls.outcome)
    worst = called[calls.right == 0].nlargest(_CASES, "confidence")
    at = worst["row"].to_numpy(np.int64)
    batch = windows(at, unlabelled(config.targets, len(at)), np.ones(len(at), np.float32))
    cards = []
    for i, case in enumerate(worst.to_dict("records")):
        row = int(at[i])
        span = np.arange(max(row - _CONTEXT, market.first_row[row]), row + 2)
        days = market.session[span].astype(str).tolist()
        weights = ", ".join(
            f"{m} absent" if not batch.present[m][i] else f"{m} {case[f'weight.{m}']:.2f}"
            for m in config.modalities
            if f"weight.{m}" in case
        )
        parts = [
            Markup("<h3>{} {}: {}</h3>").format(
                case["symbol"], str(case["target_day"])[:10], case["outcome"]
            ),
            charts.lines(
                {"close": (days, market.adj_close[span])}, marks={"decision": days[-2]}, height=220
            ),
            Markup("<p class=intro>weights: {}</p>").format(weights) if weights else Markup(""),
        ]
        for name, modality in config.modalities.items():
            if batch.present[name][i]:
                value = jax.tree.map(lambda x, i=i: x[i], batch.inputs[name])
                parts.append(_media(modality.picture(value, market, row), name))
        cards.append(Markup("<div class=card>{}</div>").format(Markup("").join(parts)))
    return [Markup("<div class=cards>{}</div>").format(Markup("").join(cards))]


def _media(picture: Picture | None, name: str) -> Markup:
    if picture is None:
        return Markup("")
    if isinstance(picture, Pixels):
        return _image(np.asarray(picture.grey), name)
    if isinstance(picture, Heat):
        return charts.heatmap(picture.values, bar=False, height=180)
    quotes = Markup("").join(
        Markup("<blockquote>{}: {}</blockquote>").format(
            author, text[:_LETTERS] + "…" * (len(text) > _LETTERS)
        )
        for author, text in picture.texts
    )
    more = Markup("<p class=more>and {} older texts</p>").format(picture.more)
    return quotes + (more if picture.more else Markup(""))


def _image(pixels: np.ndarray, name: str) -> Markup:
    require_extra("media", "PIL")
    from PIL import Image as Picture

    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<p>{0}<br><img alt="{0}" src="data:image/png;base64,{1}"></p>').format(
        name, data
    )


def _labels(rows: pd.DataFrame, market: Market) -> Labels:
    """What was read to score these rows."""
    days = rows["target_day"].to_numpy().astype("datetime64[D]")
    symbols = np.unique(market.symbol[rows["row"].to_numpy()])
    return of_days(market, days.min(), days.max(), symbols)


def _facts(scores: Scores, alarms: list[str]) -> list[str]:
    """The headline without what is shown as an alarm."""
    return [h for h in scores.headline if h not in alarms and not h.startswith(READ_AGAIN)]


def _neighbours(before: list[ledger.Record]) -> list[Markup]:
    if not before:
        return [Markup("<p>None.</p>")]
    return [page.table(ledger.table(before), 40)]
