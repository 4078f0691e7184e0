"""One trading day of a served run: detect drift, update, decide on promotion, forecast.

Each stage writes one file and is not repeated if that exists: the same command completes a day that
was killed, and leaves a finished one alone. ``serving.json`` names the run that forecasts; it is
replaced atomically, and only by an update that the promotion gate accepted.

    <service>/serving.json
    <service>/<day>/begun.json  drift.json  update/  update.json  forecast.json  explanation.json
                    track.json  done.json
    <service>/<day>/rollback.json    its update was taken back (serving.py)
    <service>/redone/<day>-1/   what was served, and taken back by ``redo``
    <service>/proof/            sums of all these, day after day (proof.py)
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from fusionjax import files
from fusionjax.adapt import matured, promotion, proof
from fusionjax.adapt.finetune import Watched, ask_promotion, finetune, holdout_of
from fusionjax.adapt.matured import FORECAST, TRACK
from fusionjax.adapt.monitor import DriftMonitor
from fusionjax.adapt.outcomes import outcomes
from fusionjax.adapt.serving import (
    BEGUN,
    SERVING,
    UPDATE,
    Serving,
    is_update,
    may_serve,
    read,
    require_accepted,
)
from fusionjax.config import Config, require_same_task
from fusionjax.data import calendar, provenance, samples
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import coreset, explanation, labels, losses, readings
from fusionjax.evaluate.forecast import forecast, merged
from fusionjax.evaluate.inference import Ensemble, read_info, seed_folders
from fusionjax.ledger import Result, Subject
from fusionjax.telemetry import say
from fusionjax.train.run import audited_market

DONE, EXPLANATION = "done.json", "explanation.json"
_REDONE = "redone"  # folder of days that were taken back
_SPLIT = "served"  # of data.splits: all days up to the newest


@dataclasses.dataclass(frozen=True)
class _Session:
    """What the stages of a day share.

    Attributes:
      date: of the session.
      folder: for the file of each stage.
      market: the data up to its close.
      config: of the service.
      serving: the run that served when the day began.
      known: folder of the last earlier day that has an ``update.json``; None for the first.
    """

    date: str
    folder: Path
    market: Market
    config: Config
    serving: Path
    known: Path | None


def serve(
    parent: Path,
    config: Config,
    mesh: Mesh,
    service: Path,
    stop: Callable[[int], bool] = lambda step: False,
    *,
    redo: bool = False,
) -> dict[str, Any]:
    """Serves the newest session of the data, or completes it.

    Args:
      parent: the run that serves first.
      config: ``finetune.*`` and ``drift.*`` apply; ``data.root`` holds the day's files.
      mesh: to train on.
      service: folder of the service.
      stop: see ``fit``.
      redo: whether a session that was served is served again, see ``_take_back``.

    Returns:
      The content of ``done.json``: day, drift, update, the run that serves, forecasts.

    Raises:
      InputError: another process serves there, the data is not fit, or older than the last day.
    """
    try:
        with files.locked(service, wait=False):
            return _serve(parent, config, mesh, service, stop, redo)
    except BlockingIOError as e:
        raise InputError(f"{service}: another process serves there; wait until it has ended") from e


def _serve(
    parent: Path,
    config: Config,
    mesh: Mesh,
    service: Path,
    stop: Callable[[int], bool],
    redo: bool,
) -> dict[str, Any]:
    if not config.finetune.promotion_sessions:
        raise InputError(
            "config.finetune.promotion_sessions is 0: updates would serve unevaluated; "
            "set it to 63 sessions"
        )
    first = parent
    if (service / SERVING).exists():
        require_accepted(service)
        first = Path(Serving.read(service).run)
    require_same_task(config, read_info(first).config, ("modalities", "targets", "model"))
    market, _ = audited_market(config)
    day = str(market.session.max())
    if redo:
        _take_back(service, day)
    past = sorted(p.parent.name for p in service.glob(f"*/{DONE}"))
    if past and past[-1] > day:
        raise InputError(
            f"{config.data.root or config.data.source}: its last session is {day}, but "
            f"{service} has served {past[-1]}; give it the newer files, or add --redo to take back "
            f"what was served since {day} and serve it again"
        )
    if past and past[-1] == day:
        result = read(service / day / DONE)
        if result["data"] != market.fingerprint:
            say(f"the data of {day} has changed since; add --redo to serve that day again")
        say(f"{day} was served before; nothing to do")
        if (now := Serving.read(service).run) != result["serving"]:
            say(f"{now} serves from the next session on")
        return result
    if not (service / SERVING).exists():
        Serving(str(parent.resolve()), "", "").write(service)
    for line in market.revised:
        say(f"revised: {line}")
    known = _last_decided(service, day)
    if known is not None and known.name not in past:
        say(f"{known.name} was never completed: it has an update but no forecasts")
        _promote(service, known)
    folder = service / day
    begun = _begin(service, folder, market)
    today = _Session(day, folder, market, config, Path(begun["run"]), known)
    drift = _detect_drift(today)
    for line in drift["words"]:
        say(f"drift: {line}")
    update = _update(today, drift, mesh, stop)
    say(f"update: {update['why']}")
    _promote(service, folder)
    serving = Path(Serving.read(service).run)
    stage = folder / FORECAST, folder / EXPLANATION
    if not all(path.exists() for path in stage):
        for path, content in zip(stage, _forecasts(serving, market, config), strict=True):
            if not path.exists():
                _write(path, content)
    proven = matured.record(folder, market, config, today.serving, {**drift, "update": update})
    info, horizon = read_info(serving), config.classifier[1].horizons[0]
    code = calendar.name(config.data.calendar)
    changes = market.session_changes.get(code)
    ahead = calendar.session_after(np.datetime64(day), code, horizon, changes)
    result = {
        "day": day,
        "horizon": horizon,
        "forecast_day": None if ahead is None else str(ahead),
        "data": market.fingerprint,
        "outcomes": outcomes(market, config, service, day),
        "drift": drift["words"],
        "alarms": len(drift["alarms"]),
        "robustness": drift["robustness"],
        "shifts": drift["shifts"],
        "update": update,
        "serving": str(serving),
        "forecaster": _title(serving, service),
        "learned": [info.trained_from, info.trained_until],
        "proof": proven,
        "read_before": read(folder / TRACK)["read_before"],
        "explanation": read(folder / EXPLANATION),
        "forecasts": read(folder / FORECAST),
    }
    _write(folder / DONE, result)
    return result


def _take_back(service: Path, day: str) -> None:
    """Moves what was served from ``day`` on aside. If an update of these days serves, the run that
    served before them serves again."""
    served = sorted(p.parent for p in service.glob(f"*/{BEGUN}") if p.parent.name >= day)
    if not served:
        return
    run = Path(Serving.read(service).run).resolve()
    if any(folder.resolve() in run.parents for folder in served):
        before = Path(read(served[0] / BEGUN)["run"])
        Serving.of(service, before).write(service)
    for folder in reversed(served):  # the newest first, so that a killed command can go on
        taken = len(list((service / _REDONE).glob(f"{folder.name}*")))
        aside = service / _REDONE / f"{folder.name}-{taken + 1}"
        aside.parent.mkdir(exist_ok=True)
        proof.take_back(service, folder.name, aside)
        folder.rename(aside)
        say(f"{folder.name} is taken back; what was served is in {aside}")


def _title(serving: Path, service: Path) -> str:
    """A short name of the run that serves: its own, or the day of the update that made it."""
    if is_update(service, serving):
        return f"{service.name}, update of {serving.parent.name}"
    return serving.name


def _begin(service: Path, folder: Path, market: Market) -> dict[str, str]:
    """The run that served when the day began, stored: a day that is completed after its promotion
    must not take its own update for the parent."""
    if not (folder / BEGUN).exists():
        _write(folder / BEGUN, {"run": Serving.read(service).run, "data": market.fingerprint})
    begun = read(folder / BEGUN)
    if begun["data"] != market.fingerprint:
        raise InputError(
            f"{folder}: was begun on data {begun['data'][:12]}, now it is "
            f"{market.fingerprint[:12]}; add --redo to begin the day anew"
        )
    return begun


def _promote(service: Path, folder: Path) -> None:
    """Lets a day's update serve, if it may and its parent still serves."""
    parent = read(folder / BEGUN)["run"]
    if may_serve(folder) and Serving.read(service).run == parent:
        Serving(str((folder / "update").resolve()), folder.name, parent).write(service)


def _last_decided(service: Path, day: str) -> Path | None:
    """The last earlier day that has an ``update.json``, with or without forecasts."""
    days = [p.parent for p in service.glob(f"*/{UPDATE}") if p.parent.name < day]
    return max(days, default=None)


def _detect_drift(today: _Session) -> dict[str, Any]:
    """The drift since the last day, with the monitor's new state."""
    path, market, config = today.folder / "drift.json", today.market, today.config
    if path.exists():
        return read(path)
    info = read_info(today.serving)
    state = info.watch if today.known is None else read(today.known / "drift.json")["monitor"]
    monitor, restarted = DriftMonitor.resumed(state, market, config, info)
    run = Ensemble(today.serving, merged(config, info.config), market)
    new = np.datetime64(monitor.until) + 1, np.datetime64(today.date)
    reading = readings.Question(
        "drift",
        config,
        Subject(str(today.serving), market.fingerprint, run.seed_numbers, _SPLIT),
        labels.of_days(market, *new),
        (readings.of_run(run),),
        (info.config,),
    ).begin()
    report = monitor.look(market, config, info, today.date, run.predict)
    reading.finish(Result({"alarms": float(len(report.alarms))}, {}))
    result = {
        "words": restarted + reading.warnings + report.lines,
        "alarms": [dataclasses.asdict(a) for a in report.alarms],
        "robustness": report.robustness,
        "shifts": report.shifts,
        "embedding": report.embedding,
        "monitor": monitor.to_json(),
    }
    _write(path, result)
    return result


def _update(
    today: _Session, drift: dict[str, Any], mesh: Mesh, stop: Callable[[int], bool]
) -> dict[str, Any]:
    """Updates if that is due, by schedule or by an alarm, and decides on promotion."""
    path, config = today.folder / UPDATE, today.config
    if path.exists():
        return read(path)
    info = read_info(today.serving)
    first: dict[str, Any] = {"tried": info.trained_until, "owed": False}
    previous = first if today.known is None else read(today.known / UPDATE)
    last = previous["tried"]
    alarm = (bool(drift["alarms"]) or previous["owed"]) and config.drift.action != "log"
    if why := _why_no_update(today, last, info.trained_until, alarm):
        result = {"tried": last, "promoted": False, "owed": alarm, "why": why}
        _write(path, result)
        return result
    update_config = _update_config(config, alarm, info.trained_from, today.date)
    if alarm and config.drift.action == "retrain":
        verdict = _retrain(today, update_config, drift["monitor"], mesh, stop)
    else:
        # Once a channel was scaled down, every update sets its trust anew.
        trust = drift["robustness"] if alarm or info.scaler.trust else None
        watched = Watched(drift["monitor"], trust)
        folder = today.folder / "update"
        verdict = finetune(today.serving, update_config, mesh, folder, stop, watched)
    assert verdict is not None, "_why_no_update requires labels for the gate"
    result = {"tried": today.date, "promoted": verdict.promoted, "owed": False, "why": verdict.why}
    result["suspect"] = list(verdict.suspect)
    _write(path, result)
    return result


def _why_no_update(today: _Session, last: str, trained_until: str, alarm: bool) -> str:
    """Why there is no update today; empty where there is one."""
    days, f = np.unique(today.market.session), today.config.finetune
    waited, new = (int((days > np.datetime64(d, "D")).sum()) for d in (last, trained_until))
    if waited < f.update_interval and not alarm:
        return f"not due: {waited} of {f.update_interval} sessions since {last}"
    # The labels of the last sessions before the longest horizon is over are not all known.
    reserved = f.promotion_sessions + losses.horizon(today.config.targets) - 1
    if new <= reserved:
        return f"too early: {new} sessions since training, of which the gate keeps {reserved}"
    return ""


def _update_config(config: Config, alarm: bool, first: str, day: str) -> Config:
    """The config of the day's update: all data up to it, more replay where an alarm asks for it."""
    splits = {**config.data.splits, _SPLIT: (first, day)}
    changes: dict[str, Any] = {"data.splits": splits, "finetune.split": _SPLIT}
    if alarm and config.drift.action == "widen":
        changes["finetune.replay_fraction"] = (1 + config.finetune.replay_fraction) / 2
    return config.override(changes)


def _retrain(
    today: _Session, config: Config, watch: dict[str, Any], mesh: Mesh, stop: Callable[[int], bool]
) -> promotion.PromotionDecision | None:
    """Trains the serving run's seeds from scratch, on all days but the gate's."""
    first, day = samples.period(config.data, _SPLIT)
    serving, market, folder = today.serving, today.market, today.folder / "update"
    holdout, until = holdout_of(market, config, read_info(serving).trained_until, day)
    splits = {**config.data.splits, _SPLIT: (str(first), str(until))}
    trainer = coreset.trainer(config.override({"data.splits": splits, "train.split": _SPLIT}), mesh)
    trainer = dataclasses.replace(trainer, info=dataclasses.replace(trainer.info, watch=watch))
    for seed in seed_folders(serving):
        trainer.train(read_info(seed).config.seed, folder / seed.name, stop)
    return None if holdout is None else ask_promotion(serving, folder, market, config, holdout)


def _forecasts(
    run: Path, market: Market, config: Config
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Forecasts after the newest session, for every stock that traded in it with enough history,
    each with the sum of the model's parameters; and the explanation of the surest."""
    config = merged(config, read_info(run).config)
    newest = market.session == market.session.max()
    rows = np.flatnonzero(newest & market.forecast_rows(config.data.min_history))
    if not len(rows):
        raise InputError(
            f"{market.session.max()}: no member has a bar and {config.data.min_history} sessions "
            "of history; add the day's files of such stocks"
        )
    ensemble = Ensemble(run, config, market)
    records = forecast(ensemble, market, config, rows.tolist(), frozenset())
    ups = np.array([f.get("calibrated", {}).get("up", 0.5) for f in records])
    surest = int(rows[np.abs(ups - 0.5).argmax()])
    told = explanation.explain(ensemble, market, config, surest)
    model = readings.of_run(ensemble)
    records = provenance.with_encoders(records, market, config)
    return [record | {"model": model} for record in records], told.to_json()


def _write(path: Path, content: Any) -> None:
    files.write_text(path, json.dumps(content, indent=1))
