"""A trading day of a living run: look, update, ask the gate, forecast. Each stage leaves one file.

A stage whose file is there is not run again, so a day that was killed anywhere is completed by the
same command, and a day that is done is left alone. ``serving.json`` says who forecasts; it changes
in one move, and only to an update that the gate let through.

    <service>/serving.json
    <service>/<day>/begun.json  drift.json  update/  update.json  forecast.json  done.json
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from fusionjax import files
from fusionjax.adapt import promotion
from fusionjax.adapt.finetune import Watched, ask_promotion, finetune, holdout_of
from fusionjax.adapt.monitor import DriftMonitor
from fusionjax.config import Config, require_same_task
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate.forecast import forecast, merged
from fusionjax.evaluate.inference import Ensemble, read_info, seed_folders
from fusionjax.train.run import Trainer, audited_market
from fusionjax.train.telemetry import say

SERVING, DONE = "serving.json", "done.json"
_SPLIT = "served"  # of data.splits: all days up to the newest


@dataclasses.dataclass(frozen=True)
class Serving:
    """Who forecasts.

    Attributes:
      run: its folder.
      day: since when.
      parent: who did before; empty for the first.
    """

    run: str
    day: str
    parent: str

    @staticmethod
    def read(service: Path) -> "Serving":
        """What the service's folder says.

        Raises:
          InputError: the file is none of ours.
        """
        try:
            return Serving(**json.loads((service / SERVING).read_text()))
        except (json.JSONDecodeError, TypeError) as e:
            raise InputError(
                f"{service / SERVING}: does not say who serves ({e}); write "
                '{"run": the run folder, "day": "", "parent": ""} into it'
            ) from e


@dataclasses.dataclass(frozen=True)
class _Day:
    """What the stages of a day share.

    Attributes:
      date: of its session.
      folder: where each stage leaves its file.
      market: the data up to its close.
      config: of the service.
      serving: the run that served when it began.
      known: folder of the last day before it that looked and decided; None for the first.
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
) -> dict[str, Any]:
    """Lives the newest session of the data, or completes it.

    Args:
      parent: the run that serves first.
      config: ``finetune.*`` and ``drift.*`` govern; ``data.root`` holds the day's files.
      mesh: to train on.
      service: folder of the service.
      stop: see ``fit``.

    Returns:
      What was done: the day, alarms in words, the gate's verdict, who serves, the forecasts.

    Raises:
      InputError: another process serves there, the data is not fit, or older than the last day.
    """
    try:
        with files.locked(service, wait=False):
            return _serve(parent, config, mesh, service, stop)
    except BlockingIOError as e:
        raise InputError(f"{service}: another process serves there; wait until it has ended") from e


def _serve(
    parent: Path, config: Config, mesh: Mesh, service: Path, stop: Callable[[int], bool]
) -> dict[str, Any]:
    if not config.finetune.promotion_sessions:
        raise InputError(
            "config.finetune.promotion_sessions is 0: no update may serve unseen; "
            "set it to 20 sessions"
        )
    first = Path(Serving.read(service).run) if (service / SERVING).exists() else parent
    require_same_task(config, read_info(first).config, ("modalities", "targets", "model"))
    market, _ = audited_market(config)
    day = str(market.session.max())
    past = sorted(p.parent.name for p in service.glob(f"*/{DONE}"))
    if past and past[-1] > day:
        raise InputError(
            f"{config.data.root or config.data.source}: its last session is {day}, but "
            f"{service} has served {past[-1]}; give it the newer files"
        )
    if past and past[-1] == day:
        made = _read(service / day / DONE)
        if made["data"] != market.fingerprint:
            say(f"the data has changed since; delete {service / day} to serve that day again")
        say(f"{day} was served before; nothing to do")
        return made
    if not (service / SERVING).exists():
        _write(service / SERVING, dataclasses.asdict(Serving(str(parent.resolve()), "", "")))
    known = _newest(service, day)
    if known is not None and known.name not in past:
        say(f"{known.name} was never completed: it has an update but no forecasts")
        _promote(service, known)
    folder = service / day
    begun = _begun(service, folder, market)
    today = _Day(day, folder, market, config, Path(begun["run"]), known)
    looked = _look(today)
    for line in looked["words"]:
        say(f"drift: {line}")
    updated = _update(today, looked, mesh, stop)
    say(f"update: {updated['why']}")
    _promote(service, folder)
    now_serving = Path(Serving.read(service).run)
    if not (folder / "forecast.json").exists():
        _write(folder / "forecast.json", _forecasts(now_serving, market, config))
    made = {
        "day": day,
        "data": market.fingerprint,
        "drift": looked["words"],
        "alarms": len(looked["alarms"]),
        "robustness": looked["robustness"],
        "shifts": looked["shifts"],
        "update": updated,
        "serving": str(now_serving),
        "forecasts": _read(folder / "forecast.json"),
    }
    _write(folder / DONE, made)
    return made


def _begun(service: Path, folder: Path, market: Market) -> dict[str, str]:
    """Who served when the day began: a kill after the promotion must not make it its own parent."""
    if not (folder / "begun.json").exists():
        _write(
            folder / "begun.json", {"run": Serving.read(service).run, "data": market.fingerprint}
        )
    begun = _read(folder / "begun.json")
    if begun["data"] != market.fingerprint:
        raise InputError(
            f"{folder}: was begun on data {begun['data'][:12]}, now it is "
            f"{market.fingerprint[:12]}; delete the folder to begin the day anew"
        )
    return begun


def _promote(service: Path, folder: Path) -> None:
    """A day's update serves, if the gate let it through and who began the day serves still."""
    before = _read(folder / "begun.json")["run"]
    if _read(folder / "update.json")["promoted"] and Serving.read(service).run == before:
        now = Serving(str((folder / "update").resolve()), folder.name, before)
        _write(service / SERVING, dataclasses.asdict(now))


def _newest(service: Path, day: str) -> Path | None:
    """The last day before one that looked and decided, whether or not it forecast."""
    whole = [p.parent for p in service.glob("*/update.json") if p.parent.name < day]
    return max(whole, default=None)


def _look(today: _Day) -> dict[str, Any]:
    """What has changed since the last day; with the monitor's state after it."""
    path, market, config = today.folder / "drift.json", today.market, today.config
    if path.exists():
        return _read(path)
    info = read_info(today.serving)
    state = info.watch if today.known is None else _read(today.known / "drift.json")["monitor"]
    monitor, anew = DriftMonitor.resumed(state, market, config, info)
    run = Ensemble(today.serving, merged(config, info.config), market)
    seen = monitor.look(market, config, info, today.date, run.predict)
    made = {
        "words": anew + seen.lines,
        "alarms": [dataclasses.asdict(a) for a in seen.alarms],
        "robustness": seen.robustness,
        "shifts": seen.shifts,
        "embedding": seen.embedding,
        "monitor": monitor.to_json(),
    }
    _write(path, made)
    return made


def _update(
    today: _Day, looked: dict[str, Any], mesh: Mesh, stop: Callable[[int], bool]
) -> dict[str, Any]:
    """Updates where that is due, by the calendar or by an alarm, and asks the gate."""
    path, config = today.folder / "update.json", today.config
    if path.exists():
        return _read(path)
    info = read_info(today.serving)
    first: dict[str, Any] = {"tried": info.trained_until, "owed": False}
    before = first if today.known is None else _read(today.known / "update.json")
    last = before["tried"]
    alarm = (bool(looked["alarms"]) or before["owed"]) and config.drift.action != "log"
    if why := _not_now(today, last, info.trained_until, alarm):
        made = {"tried": last, "promoted": False, "owed": alarm, "why": why}
        _write(path, made)
        return made
    changed = _as_asked(config, alarm, info.trained_from, today.date)
    if alarm and config.drift.action == "retrain":
        verdict = _retrain(today, changed, looked["monitor"], mesh, stop)
    else:
        # Turned down once, a channel is looked at again with every update.
        trust = looked["robustness"] if alarm or info.scaler.trust else None
        watched = Watched(looked["monitor"], trust)
        update = today.folder / "update"
        verdict = finetune(today.serving, changed, mesh, update, stop, watched)
    assert verdict is not None, "there is a gate, and there are labels for it"
    made = {"tried": today.date, "promoted": verdict.promoted, "owed": False, "why": verdict.why}
    _write(path, made)
    return made


def _not_now(today: _Day, last: str, trained_until: str, alarm: bool) -> str:
    """Why there is no update today; empty where there is one."""
    days, f = np.unique(today.market.session), today.config.finetune
    waited, fresh = (int((days > np.datetime64(d, "D")).sum()) for d in (last, trained_until))
    if waited < f.update_interval and not alarm:
        return f"not due: {waited} of {f.update_interval} sessions since {last}"
    if fresh <= f.promotion_sessions:
        kept = f.promotion_sessions
        return f"too early: {fresh} sessions since training, of which the gate keeps {kept}"
    return ""


def _as_asked(config: Config, alarm: bool, first: str, day: str) -> Config:
    """The config of the day's update: all data up to it, more replay where an alarm asks for it."""
    splits = {**config.data.splits, _SPLIT: (first, day)}
    changes: dict[str, Any] = {"data.splits": splits, "finetune.split": _SPLIT}
    if alarm and config.drift.action == "widen":
        changes["finetune.replay_fraction"] = (1 + config.finetune.replay_fraction) / 2
    return config.override(changes)


def _retrain(
    today: _Day, config: Config, watch: dict[str, Any], mesh: Mesh, stop: Callable[[int], bool]
) -> promotion.PromotionDecision | None:
    """As many seeds from scratch, on all days but the gate's."""
    first, day = samples.period(config, _SPLIT)
    serving, market, folder = today.serving, today.market, today.folder / "update"
    holdout, until = holdout_of(market, config, read_info(serving).trained_until, day)
    splits = {**config.data.splits, _SPLIT: (str(first), str(until))}
    trainer = Trainer.from_config(
        config.override({"data.splits": splits, "train.split": _SPLIT}), mesh
    )
    trainer = dataclasses.replace(trainer, info=dataclasses.replace(trainer.info, watch=watch))
    for seed in seed_folders(serving):
        trainer.train(read_info(seed).config.seed, folder / seed.name, stop)
    return None if holdout is None else ask_promotion(serving, folder, market, config, holdout)


def _forecasts(run: Path, market: Market, config: Config) -> list[dict[str, Any]]:
    """For the session after the newest, of every stock that traded on it and has enough history."""
    config = merged(config, read_info(run).config)
    rows = np.flatnonzero(market.session == market.session.max())
    rows = rows[rows - market.first_row[rows] >= config.data.min_history]
    if not len(rows):
        raise InputError(
            f"{market.session.max()}: no stock has a bar and {config.data.min_history} sessions "
            "of history; give the day's files of those that have"
        )
    return forecast(Ensemble(run, config, market), market, config, rows.tolist(), frozenset())


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _write(path: Path, made: Any) -> None:
    files.write_text(path, json.dumps(made, indent=1))
