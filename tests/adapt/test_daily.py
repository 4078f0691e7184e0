"""A day is served once, completed after any kill, and by one process; drift is told in words."""

import dataclasses
import html
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_market
from jax.sharding import Mesh
from parents import MESH, TRAIN, config, telling, trained

from fusionjax import files
from fusionjax.adapt import daily, finetune, serving
from fusionjax.adapt.monitor import DriftMonitor
from fusionjax.config import Config
from fusionjax.data.audit import Audit
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.errors import InputError
from fusionjax.evaluate import readings
from fusionjax.evaluate.inference import Prediction, read_info, seed_folders
from fusionjax.report import day as day_page
from fusionjax.train.program import Program
from fusionjax.train.run import make_program

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
            "finetune__update_interval": 3,
            "finetune__promotion_sessions": 63,
            "finetune__promotion_margin": 0.5,  # what is tested here is not how it decides
            "evaluate__leak_alarm_override": "a market that is made to be foreseen",
            "finetune__steps": 3,
            "train__steps": 20,
            "drift__reference_sessions": 150,
            "drift__action": "log",
            **changes,
        }
    )


@pytest.fixture(scope="module", autouse=True)
def _programs_are_made_once() -> Iterator[None]:
    """Each day is a command of its own; here they share what their configs make alike."""
    made: dict[tuple[str, int, bool], Program] = {}

    def once(
        config: Config, mesh: Mesh, windows: Windows, meta: int = 0, *, parented: bool = False
    ) -> Program:
        key = config.to_json(), meta, parented
        if key not in made:
            made[key] = make_program(config, mesh, windows, meta, parented=parented)
        return made[key]

    with pytest.MonkeyPatch.context() as patched:
        for room in ("evaluate.inference", "adapt.finetune"):
            patched.setattr(f"fusionjax.{room}.make_program", once)
        yield


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
        for room in ("adapt.daily", "adapt.finetune", "train.run", "evaluate.coreset"):
            monkeypatch.setattr(f"fusionjax.{room}.audited_market", lambda _: (cut, fit))

    return ends


def serve(parent: Path, service: Path, *, redo: bool = False, **changes: object) -> dict[str, Any]:
    return daily.serve(parent, asked(**changes), MESH, service, redo=redo)


def test_days_follow_each_other_and_are_taken_back(
    on: Any, market: Market, parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = tmp_path / "service"
    on("2020-08-02")
    first = serve(parent, service)
    assert first["update"]["why"] == "not due: 2 of 3 sessions since 2020-07-31"
    assert Path(first["serving"]) == parent
    assert [f["symbol"] for f in first["forecasts"]] == list(SYMBOLS)
    on("2020-08-04")
    second = serve(parent, service)
    assert second["update"]["why"] == (
        "too early: 4 sessions since training, of which the gate keeps 67"
    )
    on("2020-10-10")
    third = serve(parent, service)
    assert third["update"]["promoted"], third["update"]["why"]
    assert Path(third["serving"]) == service / "2020-10-10" / "update"
    assert read_info(Path(third["serving"])).trained_until == "2020-08-04"
    evidence = json.loads((service / "2020-10-10" / "update" / "gate.json").read_text())
    assert (evidence["first"], evidence["last"]) == ("2020-08-05", "2020-10-10")
    stamps = {p: p.stat().st_mtime_ns for p in service.rglob("*.*") if p.name != ".lock"}
    assert serve(parent, service) == third
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    on("2020-08-04")
    asks = "its last session is 2020-08-04, but .* has served 2020-10-10; .* add --redo to take"
    with pytest.raises(InputError, match=asks):
        serve(parent, service)
    again = serve(parent, service, redo=True)
    assert again["forecasts"] == second["forecasts"]
    assert again["update"] == second["update"]
    assert daily.Serving.read(service) == daily.Serving(str(parent), "", "")
    assert not (service / "2020-10-10").exists()
    redone = service / "redone"
    assert sorted(p.name for p in redone.iterdir()) == ["2020-08-04-1", "2020-10-10-1"]
    assert json.loads((redone / "2020-10-10-1/done.json").read_text()) == third
    changed = ("adj_close of 1 bars … differs",)
    on("2020-08-04", dataclasses.replace(market, fingerprint="1" * 64, revised=changed))
    capsys.readouterr()
    assert serve(parent, service) == again
    assert "data of 2020-08-04 has changed since; add --redo to serve" in capsys.readouterr().out
    assert serve(parent, service, redo=True)["data"] == "1" * 64
    assert "revised: adj_close of 1 bars … differs" in capsys.readouterr().out
    assert (redone / "2020-08-04-2" / "done.json").exists()
    page = day_page.write(third, tmp_path / "report.html")
    text = page.read_text()
    assert all(f">{s}<" in text for s in SYMBOLS)
    assert "promoted: not worse" in text
    assert "<th>PSI</th>" in text
    assert "<th>KS</th>" in text


def test_errors_are_watched_across_promotions(
    on: Any, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A market that promotes every week must not begin to watch its errors every week."""
    accepted = True, "promoted: few sessions are enough here"
    monkeypatch.setattr("fusionjax.adapt.promotion.judge", lambda *_: accepted)
    for day in ("2020-08-10", "2020-08-20"):
        on(day)
        serve(parent, tmp_path, finetune__promotion_sessions=5)
        state = json.loads((tmp_path / day / "drift.json").read_text())["monitor"]
        assert len(state["early"]["weight price"]) == int(day[-2:]), "of every session since July"
    begun = json.loads((tmp_path / "2020-08-20/begun.json").read_text())
    assert begun["run"] == str(tmp_path / "2020-08-10/update"), "there was a promotion in between"
    read = readings.records(asked(), None)
    assert {r.kind for r in read} == {"drift", "gate"}, "what scores leaves a record"
    assert all(r.finished and r.trials for r in read)
    with pytest.raises(InputError, match="A hold-out is read once, and this one was read"):
        serve(parent, tmp_path / "of a hold-out", evaluate__locked=("live",))


def test_a_retrained_run_and_other_detectors_begin_the_watch_anew(
    market: Market, parent: Path
) -> None:
    c, info = asked(drift__reference_sessions=40), read_info(seed_folders(parent)[0])
    changed = moved(market, "2020-08-20", 0.5)
    monitor = DriftMonitor.begin(changed, c, info)
    seen = monitor.look(changed, c, info, "2020-10-10", any_forecast(market))
    assert seen.robustness["vol20"] < 0.2
    state = json.loads(json.dumps(monitor.to_json()))
    retrained = dataclasses.replace(info, trained_until="2020-10-10")
    again, anew = DriftMonitor.resumed(state, changed, c, retrained)
    assert anew == ["monitoring restarts: the run was trained until 2020-10-10"]
    assert again.to_json()["trained"] == "2020-10-10"
    late = again.look(changed, c, retrained, "2020-10-20", any_forecast(market))
    assert late.robustness["vol20"] > 0.8, "it has learned the new level"
    for key, value in (("detector", "ADWIN"), ("run_length", 700.0), ("reference_sessions", 50)):
        other = asked(**{"drift__reference_sessions": 40, f"drift__{key}": value})
        again, anew = DriftMonitor.resumed(state, changed, other, info)
        assert anew[0].startswith("monitoring restarts: it was begun with detector PageHinkley")
        assert f"{key} {value}" in anew[0]
        inputs = again.to_json()["inputs"]
        whole = inputs["run_length"] * len(inputs["series"]) / (len(inputs["series"]) + 4)
        assert (inputs["detector"], round(whole)) == (other.drift.detector, other.drift.run_length)


def test_what_texts_say_can_alarm_while_their_number_stays(market: Market, parent: Path) -> None:
    assert market.texts is not None
    c, info = asked(), read_info(seed_folders(parent)[0])
    late = market.session[market.texts.bar] >= np.datetime64("2020-08-20")
    other = market.texts.embedding.copy()
    other[late] += np.float16(0.7)
    changed = dataclasses.replace(market, texts=dataclasses.replace(market.texts, embedding=other))
    monitor = DriftMonitor.begin(changed, c, info)
    alarms = monitor.look(changed, c, info, "2020-09-20", any_forecast(market)).alarms
    assert [a.series for a in alarms] == ["content text"]
    assert alarms[0].words.startswith("content text rose by")
    assert abs(np.datetime64(alarms[0].since) - np.datetime64("2020-08-20")).astype(int) <= 2
    watched = monitor.to_json()["inputs"]
    assert {"content price", "content text"} <= watched["series"].keys()
    count = len(watched["series"])  # the run length is of all series, the four to come included
    assert watched["run_length"] * count == pytest.approx(c.drift.run_length * (count + 4))


@pytest.mark.slow
def test_another_service_goes_on_with_the_detectors_of_a_checkpoint(
    on: Any, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("2020-10-10")
    made = serve(parent, tmp_path / "one")
    update = Path(made["serving"])
    watched = json.loads((tmp_path / "one/2020-10-10/drift.json").read_text())["monitor"]
    assert read_info(update).watch == watched
    by_hand, ungated = tmp_path / "by_hand", asked(finetune__promotion_sessions=0)
    finetune.finetune(update, ungated, MESH, by_hand, lambda step: False)
    assert read_info(by_hand).watch == watched, "its parent's"
    monkeypatch.setattr(DriftMonitor, "begin", None)  # it must not start anew
    on("2020-10-11")
    serve(update, tmp_path / "two")
    serve(parent, tmp_path / "one")
    first, second = (
        json.loads((tmp_path / s / "2020-10-11/drift.json").read_text()) for s in ("one", "two")
    )
    assert first["words"] == second["words"]
    assert first["robustness"] == second["robustness"]


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


@pytest.mark.parametrize(
    "late",
    [pytest.param(False, id="before"), pytest.param(True, id="after", marks=pytest.mark.slow)],
)
def test_a_day_killed_at_any_file_is_completed(
    on: Any, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    on("2020-10-10")
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
    assert Path(made["serving"]) == service / "2020-10-10" / "update"
    assert daily.Serving.read(service).parent == str(parent)


def test_a_day_left_undone_is_not_forgotten_by_the_next(
    on: Any, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("2020-10-10")
    with monkeypatch.context() as killed:
        killed.setattr("fusionjax.adapt.daily._forecasts", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            serve(parent, tmp_path)
    assert daily.Serving.read(tmp_path).day == "2020-10-10", "it had been promoted"
    on("2020-10-11")
    made = serve(parent, tmp_path)
    assert made["update"]["why"] == "not due: 1 of 3 sessions since 2020-10-10"
    state = json.loads((tmp_path / "2020-10-11" / "drift.json").read_text())["monitor"]
    assert state["until"] == "2020-10-11"
    assert Path(made["serving"]) == tmp_path / "2020-10-10" / "update"


def test_an_update_that_was_let_through_before_a_kill_serves_the_next_day(
    on: Any, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("2020-10-10")
    write = files.write_text

    def dies(path: Path, text: str) -> None:
        write(path, text)
        if path.name == "update.json":
            raise Killed

    with monkeypatch.context() as killed:
        killed.setattr("fusionjax.files.write_text", dies)
        with pytest.raises(Killed):
            serve(parent, tmp_path)
    assert Path(daily.Serving.read(tmp_path).run) == parent
    on("2020-10-11")
    made = serve(parent, tmp_path)
    update = tmp_path / "2020-10-10" / "update"
    assert Path(made["serving"]) == update
    assert daily.Serving.read(tmp_path) == daily.Serving(str(update), "2020-10-10", str(parent))
    # An operator who goes back to the parent is not overruled by a day that is done.
    back = json.dumps(dataclasses.asdict(daily.Serving(str(parent), "", "")))
    (tmp_path / "serving.json").write_text(back)
    (tmp_path / "2020-10-10" / "done.json").write_text("{}")
    on("2020-10-12")
    assert Path(serve(parent, tmp_path)["serving"]) == parent


def test_a_refused_update_leaves_the_parent_forecasting(
    on: Any, market: Market, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learned from labels that are flipped; the gate's own are as they were."""
    chosen = finetune.material

    def flipped(*given: Any) -> finetune.Material:
        made = chosen(*given)
        label = made.new.targets.label
        wrong = label | {"direction": 1 - label["direction"]}
        wrong = dataclasses.replace(made.new.targets, label=wrong)
        return dataclasses.replace(made, new=dataclasses.replace(made.new, targets=wrong))

    on("2020-10-20")
    changes = {
        "finetune__steps": 60,
        "finetune__replay_fraction": 0.0,
    }
    with monkeypatch.context() as poisoned:
        poisoned.setattr(finetune, "material", flipped)
        made = serve(parent, tmp_path / "service", **changes)
    day = tmp_path / "service" / "2020-10-20"
    assert not made["update"]["promoted"]
    assert made["update"]["why"].startswith("refused: worse than the parent; rise of")
    assert json.loads((day / "update/gate.json").read_text())["why"] == made["update"]["why"]
    assert daily.Serving.read(tmp_path / "service") == daily.Serving(str(parent), "", "")
    known = known_at(market, "2020-10-20")
    ours, theirs = (
        daily._forecasts(r, known, asked(**changes))[0] for r in (parent, day / "update")
    )
    assert made["forecasts"] == ours != theirs
    page = day_page.write(made, tmp_path / "report.html").read_text()
    text = html.unescape(re.sub(r"<[^>]+>", "", page))  # words of the glossary are marked
    assert made["update"]["why"] in text
    assert f"{parent.name}, which has learned labels to 2020-07-31, forecasts 4 stocks" in text


def test_an_update_that_was_taken_back_stays_so(
    on: Any, parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on("2020-10-10")
    first = serve(parent, tmp_path)
    assert first["update"]["promoted"]
    (tmp_path / "2020-10-10" / "done.json").rename(tmp_path / "aside")  # killed before its end
    serving.rollback(tmp_path, "its calls all go one way")
    on("2020-10-11")
    second = serve(parent, tmp_path)
    assert Path(second["serving"]) == parent
    (tmp_path / "aside").rename(tmp_path / "2020-10-10" / "done.json")
    update = daily.Serving(first["serving"], "2020-10-10", str(parent))
    update.write(tmp_path)
    on("2020-10-12")
    with pytest.raises(InputError, match="took it back on .* serve --rollback --because=WHY"):
        serve(parent, tmp_path)
    assert not (tmp_path / "2020-10-12").exists()
    serving.rollback(tmp_path, "once more")
    on("2020-10-10")
    shutil.rmtree(tmp_path / "2020-10-11")
    capsys.readouterr()
    assert serve(parent, tmp_path) == first
    assert f"{parent} serves from the next session on" in capsys.readouterr().out
    assert serve(parent, tmp_path, redo=True)["serving"] == first["serving"], "served anew"


def test_an_alarm_that_comes_too_early_is_owed(
    on: Any, market: Market, parent: Path, tmp_path: Path
) -> None:
    asks = {
        "drift__action": "finetune",
        "finetune__update_interval": 1000,
        "finetune__promotion_sessions": 30,
    }
    wild = moved(market, "2020-08-02", 3.0)
    on("2020-08-29", wild)
    made = serve(parent, tmp_path, **asks)
    assert made["alarms"]
    assert made["update"]["why"].startswith("too early: 29 sessions")
    on("2020-09-04", wild)
    made = serve(parent, tmp_path, **asks)
    assert made["update"]["tried"] == "2020-09-04"
    assert not made["update"]["owed"]


def test_one_process_at_a_time(on: Any, parent: Path, tmp_path: Path) -> None:
    on("2020-08-02")
    with files.locked(tmp_path), pytest.raises(InputError, match="another process serves there"):
        serve(parent, tmp_path)
    (tmp_path / "serving.json").write_text("{}")
    with pytest.raises(InputError, match=r"serving\.json: does not name the run that serves"):
        serve(parent, tmp_path)


def moved(market: Market, since: str, size: float) -> Market:
    """``vol20`` leaves its level, and varies as it did not in training."""
    late = market.session >= np.datetime64(since)
    channels = market.channels.copy()
    noise = np.random.default_rng(1).normal(size=len(late)).astype(np.float32)
    channels[:, 1] += 0.1 * noise + np.where(late, np.float32(size), 0)
    return dataclasses.replace(market, channels=channels)


@pytest.mark.parametrize(
    "action", ["log", "finetune", pytest.param("widen", marks=pytest.mark.slow), "retrain"]
)
def test_an_alarm_leads_to_what_was_asked(
    on: Any, market: Market, parent: Path, tmp_path: Path, action: str
) -> None:
    on("2020-09-20", moved(market, "2020-08-20", 1.0))
    changes = {
        "drift__action": action,
        "finetune__update_interval": 1000,
        "finetune__promotion_sessions": 5,
    }
    made = serve(parent, tmp_path, **changes)
    told = next(line for line in made["drift"] if line.startswith("input vol20 rose"))
    assert "since 2020-08-20" in told
    assert made["drift"][-1].startswith("distributed otherwise than in training: vol20 (PSI ")
    assert "; as in training: ret; all inputs together" in made["drift"][-1]
    assert made["robustness"]["vol20"] < 0.2 < 0.8 < made["robustness"]["ret"]
    assert made["shifts"]["vol20"]["PSI"] > 1 > 0.25 > made["shifts"]["ret"]["PSI"]
    assert made["shifts"]["vol20"]["KS"] > 0.5 > 0.25 > made["shifts"]["ret"]["KS"]
    if action == "log":
        assert made["update"]["why"].startswith("not due")
        return
    info = read_info(tmp_path / "2020-09-20" / "update")
    assert info.trained_until == "2020-09-11", "five days whose labels are all known come after"
    looked = json.loads((tmp_path / "2020-09-20" / "drift.json").read_text())
    assert info.watch == looked["monitor"]
    if action == "retrain":
        assert info.parent is None
        assert not info.scaler.trust
    else:
        assert info.parent is not None
        assert info.scaler.trust == made["robustness"]
        assert info.config.finetune.replay_fraction == (0.75 if action == "widen" else 0.5)


def any_forecast(market: Market) -> Any:
    def said(rows: np.ndarray) -> Prediction:
        rng = np.random.default_rng(0)
        up = rng.uniform(0.3, 0.7, (len(market.session), 1))[rows]
        weight = rng.uniform(0.5, 1.5, (len(market.session), 2))[rows]
        volatility = np.full((len(rows), 1), -4.6)
        value = {"direction": up, "returns": np.zeros((len(rows), 2, 5)), "volatility": volatility}
        return Prediction(value, weight)

    return said


def test_a_monitor_goes_on_where_it_was(market: Market, parent: Path) -> None:
    c, info = asked(), read_info(seed_folders(parent)[0])
    changed = moved(market, "2020-08-20", 1.5)
    once, twice = (DriftMonitor.begin(changed, c, info) for _ in range(2))

    said = any_forecast(market)
    whole = once.look(changed, c, info, "2020-10-20", said)
    first = twice.look(changed, c, info, "2020-08-25", said)
    state = json.loads(json.dumps(twice.to_json(), allow_nan=False))
    # An update was promoted in between: it is its parent's child, and its watch goes on.
    child = dataclasses.replace(info, parent="the run@20", trained_until="2020-08-20")
    again, anew = DriftMonitor.resumed(state, changed, c, child)
    assert anew == []
    second = again.look(changed, c, child, "2020-10-20", said)
    assert first.alarms + second.alarms == whole.alarms
    assert "input vol20" in {a.series for a in whole.alarms}
    assert again.to_json()["outputs"] is not None, "errors and weights are watched by now"
    assert TRAIN[1] < again.until
    daily_look = DriftMonitor.begin(changed, c, info)
    for day in np.arange("2020-08-01", "2020-10-21", dtype="datetime64[D]").astype(str):
        daily_look.look(changed, c, info, day, said)
    assert daily_look.to_json() == once.to_json(), "day by day it sees what it sees at once"
