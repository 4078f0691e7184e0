"""A day is served once, completed after any kill, and by one process; drift is told in words."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_market
from test_stream import MESH, TRAIN, config, telling, trained

from fusionjax import files
from fusionjax.adapt import daily
from fusionjax.adapt.monitor import Monitor
from fusionjax.config import Config
from fusionjax.data.audit import Audit
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate.inference import Prediction, read_info, seed_folders
from fusionjax.report import day as day_page

SYMBOLS = ("AA", "BB", "CC", "DD")


def known_at(market: Market, day: str) -> Market:
    """The market as it was at the close of a day."""
    keep = market.session <= np.datetime64(day)
    new = np.cumsum(keep) - 1
    texts = market.texts
    assert texts is not None
    shown = keep[texts.bar]
    rows = {
        f.name: getattr(texts, f.name)[shown]
        for f in dataclasses.fields(texts)
        if isinstance(getattr(texts, f.name), np.ndarray)
    }
    rows["bar"] = new[rows["bar"]]
    own = ("symbol", "session", "decision_time", "ohlcv", "adj_close", "subset", "channels")
    return dataclasses.replace(
        market,
        **{name: getattr(market, name)[keep] for name in own},
        first_row=new[market.first_row[keep]],
        texts=dataclasses.replace(texts, **rows),
    )


def asked(**changes: object) -> Config:
    return config(
        **{
            "finetune__every": 3,
            "finetune__gate_sessions": 5,
            "finetune__steps": 3,
            "train__steps": 20,
            "drift__reference_sessions": 150,
            "drift__action": "log",
            **changes,
        }
    )


@pytest.fixture(scope="module")
def market() -> Market:
    return telling(tiny_market(days=300, symbols=SYMBOLS))


@pytest.fixture(scope="module")
def parent(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(market, asked(), tmp_path_factory.mktemp("parent"))


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, market: Market) -> Any:
    """Sets the day that the data ends on."""

    def ends(day: str, of: Market = market) -> None:
        cut, fit = known_at(of, day), Audit("tiny", [], {}, ())
        for room in ("adapt.daily", "adapt.finetune", "train.run"):
            monkeypatch.setattr(f"fusionjax.{room}.audited_market", lambda _: (cut, fit))

    return ends


def serve(parent: Path, service: Path, **changes: object) -> dict[str, Any]:
    return daily.serve(parent, asked(**changes), MESH, service)


def test_days_follow_each_other(on: Any, parent: Path, tmp_path: Path) -> None:
    service = tmp_path / "service"
    on("2020-08-02")
    first = serve(parent, service)
    assert first["update"]["why"] == "not due: 2 of 3 sessions since 2020-07-31"
    assert Path(first["serving"]) == parent
    assert [f["symbol"] for f in first["forecasts"]] == list(SYMBOLS)
    on("2020-08-04")
    second = serve(parent, service)
    assert second["update"]["why"] == (
        "too early: 4 sessions since training, of which the gate keeps 5"
    )
    on("2020-08-10")
    third = serve(parent, service)
    assert third["update"]["promoted"], third["update"]["why"]
    assert Path(third["serving"]) == service / "2020-08-10" / "update"
    assert read_info(Path(third["serving"])).trained_until == "2020-08-05"
    evidence = json.loads((service / "2020-08-10" / "update" / "gate.json").read_text())
    assert (evidence["first"], evidence["last"]) == ("2020-08-06", "2020-08-10")
    stamps = {p: p.stat().st_mtime_ns for p in service.rglob("*.*") if p.name != ".lock"}
    assert serve(parent, service) == third
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    on("2020-08-04")
    with pytest.raises(InputError, match="its last session is 2020-08-04, but .* has served"):
        serve(parent, service)
    page = day_page.write(third, tmp_path / "report.html")
    text = page.read_text()
    assert all(f">{s}<" in text for s in SYMBOLS)
    assert "promoted: not worse" in text


def test_another_service_goes_on_with_the_detectors_of_a_checkpoint(
    on: Any, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("2020-08-10")
    made = serve(parent, tmp_path / "one")
    update = Path(made["serving"])
    watched = json.loads((tmp_path / "one/2020-08-10/drift.json").read_text())["monitor"]
    assert read_info(update).watch == watched
    monkeypatch.setattr(Monitor, "begin", None)  # it must not start anew
    on("2020-08-11")
    serve(update, tmp_path / "two")
    serve(parent, tmp_path / "one")
    first, second = (
        json.loads((tmp_path / s / "2020-08-11/drift.json").read_text()) for s in ("one", "two")
    )
    assert first["words"] == second["words"]
    assert first["robustness"] == second["robustness"]


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_day_killed_at_any_file_is_completed(
    on: Any, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    on("2020-08-10")
    whole = serve(parent, tmp_path / "whole")
    service, write = tmp_path / "service", files.write_text
    written: list[str] = []

    def dies(path: Path, text: str) -> None:
        if late:
            write(path, text)
        if path.name not in written:
            written.append(path.name)
            raise Killed
        if not late:
            write(path, text)

    monkeypatch.setattr("fusionjax.files.write_text", dies)
    for _ in range(20):
        try:
            made = serve(parent, service)
            break
        except Killed:
            continue
    wanted = {"serving.json", "begun.json", "drift.json", "gate.json", "update.json"}
    assert wanted | {"forecast.json", "done.json"} <= set(written)
    assert made["forecasts"] == whole["forecasts"]
    assert made["update"] == whole["update"]
    assert made["drift"] == whole["drift"]
    assert Path(made["serving"]) == service / "2020-08-10" / "update"
    assert daily.Serving.read(service).parent == str(parent)


def test_a_day_left_undone_is_not_forgotten_by_the_next(
    on: Any, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("2020-08-10")
    with monkeypatch.context() as killed:
        killed.setattr("fusionjax.adapt.daily._forecasts", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            serve(parent, tmp_path)
    assert daily.Serving.read(tmp_path).day == "2020-08-10", "it had been promoted"
    on("2020-08-11")
    made = serve(parent, tmp_path)
    assert made["update"]["why"] == "not due: 1 of 3 sessions since 2020-08-10"
    state = json.loads((tmp_path / "2020-08-11" / "drift.json").read_text())["monitor"]
    assert state["until"] == "2020-08-11"
    assert Path(made["serving"]) == tmp_path / "2020-08-10" / "update"


def test_an_alarm_that_comes_too_early_is_owed(
    on: Any, market: Market, parent: Path, tmp_path: Path
) -> None:
    asks = {"drift__action": "finetune", "finetune__every": 1000, "finetune__gate_sessions": 30}
    wild = moved(market, "2020-08-02", 3.0)
    on("2020-08-29", wild)
    made = serve(parent, tmp_path, **asks)
    assert made["alarms"]
    assert made["update"]["why"].startswith("too early: 29 sessions")
    on("2020-09-02", wild)
    made = serve(parent, tmp_path, **asks)
    assert made["update"]["tried"] == "2020-09-02"
    assert not made["update"]["owed"]


def test_one_process_at_a_time(on: Any, parent: Path, tmp_path: Path) -> None:
    on("2020-08-02")
    with files.locked(tmp_path), pytest.raises(InputError, match="another process serves there"):
        serve(parent, tmp_path)
    (tmp_path / "serving.json").write_text("{}")
    with pytest.raises(InputError, match=r"serving\.json: does not say who serves"):
        serve(parent, tmp_path)


def moved(market: Market, since: str, size: float) -> Market:
    """``vol20`` leaves its level, and varies as it did not in training."""
    late = market.session >= np.datetime64(since)
    channels = market.channels.copy()
    noise = np.random.default_rng(1).normal(size=len(late)).astype(np.float32)
    channels[:, 1] += 0.1 * noise + np.where(late, np.float32(size), 0)
    return dataclasses.replace(market, channels=channels)


@pytest.mark.parametrize("action", ["log", "finetune", "widen", "retrain"])
def test_an_alarm_leads_to_what_was_asked(
    on: Any, market: Market, parent: Path, tmp_path: Path, action: str
) -> None:
    on("2020-09-20", moved(market, "2020-08-20", 1.0))
    changes = {"drift__action": action, "finetune__every": 1000}
    made = serve(parent, tmp_path, **changes)
    told = next(line for line in made["drift"] if line.startswith("input vol20 rose"))
    assert "since 2020-08-20" in told
    assert made["drift"][-1].startswith("unmoved: ret; all inputs together")
    assert made["robustness"]["vol20"] < 0.2 < 0.8 < made["robustness"]["ret"]
    if action == "log":
        assert made["update"]["why"].startswith("not due")
        return
    info = read_info(tmp_path / "2020-09-20" / "update")
    assert info.trained_until == "2020-09-15"
    if action == "retrain":
        assert info.parent is None
        assert not info.scaler.trust
    else:
        assert info.parent is not None
        assert info.scaler.trust == made["robustness"]
        assert info.config.finetune.replay_share == (0.75 if action == "widen" else 0.5)


def test_a_monitor_goes_on_where_it_was(market: Market, parent: Path) -> None:
    c, info = asked(), read_info(seed_folders(parent)[0])
    changed = moved(market, "2020-08-20", 0.5)
    once, twice = (Monitor.begin(changed, c, info) for _ in range(2))

    def said(rows: np.ndarray) -> Any:
        rng = np.random.default_rng(0)
        up = rng.uniform(0.3, 0.7, (len(market.session), 1))[rows]
        weight = rng.uniform(0.5, 1.5, (len(market.session), 2))[rows]
        return Prediction(up, np.zeros((len(rows), 2, 5)), np.full((len(rows), 1), -4.6), weight)

    whole = once.look(changed, c, info, "a run", "2020-10-20", said)
    first = twice.look(changed, c, info, "a run", "2020-08-25", said)
    again = Monitor.from_json(json.loads(json.dumps(twice.to_json())))
    second = again.look(changed, c, info, "a run", "2020-10-20", said)
    assert first.alarms + second.alarms == whole.alarms
    assert any(a.series == "input vol20" for a in whole.alarms)
    assert again.to_json()["outputs"] is not None, "errors and weights are watched by now"
    assert TRAIN[1] < again.until
    daily_look = Monitor.begin(changed, c, info)
    for day in np.arange("2020-08-01", "2020-10-21", dtype="datetime64[D]").astype(str):
        daily_look.look(changed, c, info, "a run", day, said)
    assert daily_look.to_json() == once.to_json(), "day by day it sees what it sees at once"
