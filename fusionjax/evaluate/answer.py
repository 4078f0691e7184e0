"""The answer to a leak alarm: scores that are written get another mark, and nothing is computed."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fusionjax import ledger
from fusionjax.config import Config
from fusionjax.evaluate.evaluation import Options, Outcomes, scored_key, suffix
from fusionjax.evaluate.inference import Forecaster
from fusionjax.evaluate.table import Scores


def answer(
    runs: Mapping[str, Forecaster],
    config: Config,
    options: Options,
    folder: Path,
    records: Path,
) -> Scores | None:
    """Marks suspect scores as answered by ``evaluate.leak_alarm_override``, everywhere.

    Returns:
      The scores; None if none of the same runs, data and settings are written and suspect, or no
      answer is given.
    """
    ending, reason = suffix(config, options), config.evaluate.leak_alarm_override.strip()
    path, rows = (folder / n for n in (f"scores_{ending}.json", f"outcomes_{ending}.parquet"))
    if not reason or not path.exists() or not rows.exists():
        return None
    before = Scores.read(path)
    if not before.suspect or before.key != scored_key(runs, config, options):
        return None
    scores = dataclasses.replace(before, answer=reason)
    first = next(iter(runs.values()))
    subject = ledger.Subject(
        first.source, first.windows.market.fingerprint, first.seed_numbers, config.evaluate.split
    )
    result = ledger.Result(scores.metrics, {}, suspect=tuple(scores.suspect))
    ledger.append(records, ledger.record("answer", config, subject, result))
    scores.save(folder)
    Outcomes(rows.stem, pd.read_parquet(rows), {}).save(folder, scores.marks)
    return scores
