"""Forecasts for users: one stock at one time, as JSON or CSV records."""

import dataclasses
import datetime
import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fusionjax import files
from fusionjax.config import Config, DataConfig, require_same_task
from fusionjax.data import calendar
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import calibration_state
from fusionjax.evaluate.inference import Ensemble
from fusionjax.heads.base import rounded

# Days after the last bar for which a forecast can be made: until a long week-end has passed.
_VALID_DAYS = 5
LAST = "last"  # the newest bar, as a time


def row_at(market: Market, data: DataConfig, symbol: str, at: str) -> int:
    """The last bar of ``symbol`` whose decision time is not after ``at``; of a date alone, whose
    session is not after it; of ``"last"``, its newest.

    Args:
      market: the data.
      data: for the history a sample needs.
      symbol: as in the data.
      at: a date or an ISO timestamp (UTC unless it carries a zone).

    Raises:
      InputError: unknown symbol, unreadable time, or a time for which there is no data.
    """
    symbol = unicodedata.normalize("NFC", symbol)  # as names are read
    if symbol not in market.symbols:
        similar = [s for s in market.symbols if s.lower() == symbol.lower()] or market.symbols[:8]
        raise InputError(
            f"--symbol={symbol}: not in the data; it has {', '.join(similar)}"
            f"{' …' if len(market.symbols) > 8 else ''}"
        )
    rows = np.flatnonzero(market.symbol == market.symbols.index(symbol))
    if at == LAST:
        return int(rows[-1])
    try:
        moment = pd.Timestamp(datetime.datetime.fromisoformat(at))
    except ValueError as e:
        raise InputError(f"--at={at}: not a date or ISO timestamp, e.g. 2018-06-29") from e
    moment = moment.tz_convert("UTC") if moment.tzinfo else moment.tz_localize("UTC")
    times = market.decision_time[rows]
    if len(at) <= len("2018-06-29"):  # a session may be decided on the next day of UTC
        times = market.session[rows].astype("datetime64[s]").astype(np.int64)
    position = int(np.searchsorted(times, moment.timestamp(), side="right")) - 1
    first = min(data.min_history, len(rows) - 1)
    too_late = position >= 0 and moment.timestamp() - times[position] > _VALID_DAYS * 86400
    if position < first or too_late:
        raise InputError(
            f"--at={at}: no data for {symbol} then; forecasts can be made from "
            f"{market.session[rows[first]]} to {market.session[rows[-1]]}"
        )
    return int(rows[position])


def forecast(
    ensemble: Ensemble,
    market: Market,
    config: Config,
    rows: list[int],
    hidden: frozenset[str],
    *,
    keep: bool = True,
) -> list[dict[str, Any]]:
    """One record a row: the forecast of each head, and the weight of each modality.

    Under ``calibrated`` every horizon is corrected by labels that matured between the end of
    training and the row.

    Args:
      ensemble: the run.
      market: the data.
      config: of the run.
      rows: from ``row_at``.
      hidden: modalities to treat as missing.
      keep: whether the calibration is kept in the run's folder, see ``calibration_state``.

    Raises:
      InputError: ``hidden`` names an unknown modality, or all of them.
    """
    names = list(config.modalities)
    unknown = hidden - set(names)
    if unknown or hidden == set(names):
        raise InputError(
            f"--without={','.join(sorted(hidden))}: name some, not all, of {', '.join(names)}"
        )
    requested = np.array(rows)
    until = market.session[requested].max()
    state = calibration_state.moved(ensemble, market, config, until, hidden, keep=keep)
    latest = ensemble.predict(requested, hidden)
    calibrated_values = state.corrected(latest, market, requested)
    records: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        record: dict[str, Any] = {
            "symbol": market.symbols[market.symbol[row]],
            "session": str(market.session[row]),
            "decision_time": f"{pd.Timestamp(market.decision_time[row], unit='s')}Z",
            "forecast_day": _days(market, config, row),
        }
        for name, head in config.targets.items():
            values = calibrated_values[name]
            corrected = None if values is None else values[i]
            entries = head.record(latest.value[name][i], corrected, config)
            for key, value in entries.items():  # heads may share an entry
                record[key] = record[key] | value if key in record else value
        weights = rounded(latest.modality_weight[i])
        records.append(record | {"modality_weight": dict(zip(names, weights, strict=True))})
    return records


def _days(market: Market, config: Config, row: int) -> dict[str, str | None]:
    """The session at whose close each horizon's forecast is known to be right or not; None where
    the exchange's holidays are not known yet."""
    horizons = sorted({h for head in config.targets.values() for h in head.horizons})
    last, days = int(market.last_row[row]), dict[str, str | None]()
    exchange = market.exchanges.get(market.symbols[market.symbol[row]], config.data.calendar)
    for horizon in horizons:
        day: np.datetime64 | None = market.session[min(row + horizon, last)]
        if row + horizon > last:  # sessions to come
            code = calendar.name(exchange)
            changes = market.session_changes.get(code)
            day = calendar.session_after(market.session[last], code, row + horizon - last, changes)
        days[f"{horizon}d"] = None if day is None else str(day)
    return days


def write(records: list[dict[str, Any]], path: Path) -> None:
    """Writes records as JSON or flat CSV, chosen by the file's suffix.

    Raises:
      InputError: another suffix.
    """
    if path.suffix == ".json":
        text = json.dumps(records, indent=2)
    elif path.suffix == ".csv":
        text = pd.json_normalize(records).to_csv(index=False)
    else:
        raise InputError(f"--out={path}: end it with .json or .csv")
    files.write_text(path, text)


def merged(config: Config, trained: Config) -> Config:
    """The run's own model with the given config's data and evaluation settings.

    Raises:
      InputError: the two describe different inputs or targets.
    """
    require_same_task(config, trained, ("modalities", "targets"))
    # A fine-tuned run may name a split of its own.
    data = dataclasses.replace(config.data, splits={**trained.data.splits, **config.data.splits})
    return dataclasses.replace(
        trained, data=data, evaluate=config.evaluate, selection=config.selection
    )
