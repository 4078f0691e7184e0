"""What ``import fusionjax`` offers, as a person would use it beside runs/demo of two seeds.

Run by tests/e2e/test_launch.py in its folder: users have one device and one interpreter.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from exchange_calendars import get_calendar

import fusionjax
from fusionjax import InputError


def a_run_is_loaded_and_forecasts() -> None:
    loaded = fusionjax.load("runs/demo")
    assert loaded.config.train.steps == 4
    last = loaded.predict()
    assert last["symbol"].tolist() == ["SPX"]
    assert last["session"].tolist() == ["2018-12-31"], "the newest bar"
    two = loaded.predict("SPX", ["2018-06-29", "2018-07-02T12:00"])
    assert two["session"].tolist() == ["2018-06-29", "2018-06-29"]
    up = two["direction.1d.up"].to_numpy()
    assert ((up > 0) & (up < 1)).all()
    without = loaded.predict("SPX", "2018-06-29", without=["vix"])
    assert without["modality_weight.vix"].item() == 0


def an_explanation_is_a_frame_of_parts(run: fusionjax.Run) -> None:
    told = run.explain("SPX", "2018-06-29")
    wholes = told.xs("whole", level="kind").index.get_level_values("source").tolist()
    assert wholes == ["price", "vix", "chart", "experts"]
    full = run.predict("SPX", "2018-06-29").iloc[0]
    assert told.loc[("price", "whole", "price"), "weight"] == full["modality_weight.price"]
    kinds = set(told.index.droplevel("part"))
    assert {("price", "channel"), ("vix", "session"), ("chart", "patch")} <= kinds
    said = run.explanation("SPX", "2018-06-29")
    assert json.loads(json.dumps(said.to_json()))["symbol"] == "SPX"
    up = 1 / (1 + np.exp(-said.forecast["direction.1d"]))
    assert up == pytest.approx(full["direction.1d.up"], abs=1e-5)


def scores_are_a_frame_and_a_page(run: fusionjax.Run) -> None:
    Path("runs/demo/scores_late.json").unlink(missing_ok=True)  # another test may have scored it
    with pytest.raises(InputError, match="score that split: fusionjax evaluate"):
        run.report("late")
    scores = run.evaluate("late")
    rows = scores[scores["target"] == "volatility"]
    ours = rows[rows["forecaster"] == "runs/demo (2 seeds averaged)"]
    stored = json.loads(Path("runs/demo/scores_late.json").read_text())
    table = next(t for t in stored["tables"] if t["target"] == "volatility")
    assert ours["MSE"].item() == table["rows"][0]["values"]["MSE"]
    assert {"ridge", "majority"} <= set(scores["forecaster"])
    assert run.report("late").read_text().lower().startswith("<!doctype html>")


def a_child_is_trained_on_what_matured_since(run: fusionjax.Run) -> None:
    parent = fusionjax.load("runs/demo", run.config.override({"finetune.steps": 2}))
    child = parent.finetune()
    assert child.folder == Path("runs/demo_finetuned")
    assert child.promotion is not None, "the gate was asked"
    assert child.promotion.samples > 0
    assert fusionjax.load(child.folder).config.train.split == "stream"
    before, after = (r.predict(at="2018-06-29")["direction.1d.up"].item() for r in (parent, child))
    assert before != after


def bars(days: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    dates = get_calendar("XNYS").sessions_window("2020-01-02", days)
    close = 100 * np.exp(0.01 * rng.normal(size=days).cumsum())
    frame = pd.DataFrame({"unique_id": "MINE", "ds": dates.strftime("%Y-%m-%d"), "y": close})
    return frame.assign(
        open=close, high=close * 1.01, low=close * 0.99, adj_close=close, volume=1e6,
        nasdaq_ret=0.0, wti_ret=0.0, vix_level=20.0, vix_change=0.0,
    )  # fmt: skip


def frames_of_ones_own_are_forecast_as_folders_are(run: fusionjax.Run) -> None:
    frame = bars()
    got = run.predict(bars=frame)
    assert got["symbol"].tolist() == ["MINE"]
    Path("mine").mkdir()
    named = frame.rename(columns={"unique_id": "symbol", "ds": "date", "y": "close"})
    named.to_parquet("mine/bars.parquet")
    changes = {"data.source": "folder", "data.root": "mine"}
    by_folder = fusionjax.load("runs/demo", run.config.override(changes)).predict()
    pd.testing.assert_frame_equal(got, by_folder)
    with pytest.raises(InputError, match="^the frame bars: lacks column low; it has"):
        run.predict(bars=frame.drop(columns="low"))
    with pytest.raises(InputError, match="texts come with bars"):
        run.predict(texts=frame)


MISTAKES: list[tuple[Callable, str]] = [
    (lambda r: r.predict("spx"), "--symbol=spx: not in the data; it has SPX"),
    (lambda r: r.predict(at="2030-01-01"), "no data for SPX then; forecasts can be made from"),
    (lambda r: r.predict(without=["sound"]), "name some, not all, of price, vix, chart"),
    (lambda r: r.evaluate("later"), "data.splits has train, dev"),
    (lambda r: r.report("2018-01-02:2018-06-29"), "score that split: fusionjax evaluate"),
    (lambda r: fusionjax.load("nowhere"), "nowhere: no run here"),
    (lambda r: fusionjax.load_config("dema"), "did you mean 'demo'"),
    (lambda r: fusionjax.load_config("demo", {"train.stepz": 1}), "did you mean 'steps'"),
    (
        lambda r: fusionjax.load("runs/demo", fusionjax.load_config("kdd17")),
        "another task than the run was trained for:\n  modalities",
    ),
]


def a_mistake_is_the_sentence_that_a_command_prints(run: fusionjax.Run) -> None:
    for ask, message in MISTAKES:
        with pytest.raises(InputError, match=message):
            ask(run)


if __name__ == "__main__":
    a_run_is_loaded_and_forecasts()
    opened = fusionjax.load("runs/demo")
    an_explanation_is_a_frame_of_parts(opened)
    scores_are_a_frame_and_a_page(opened)
    a_child_is_trained_on_what_matured_since(opened)
    frames_of_ones_own_are_forecast_as_folders_are(opened)
    a_mistake_is_the_sentence_that_a_command_prints(opened)
    print("all as it should be")
