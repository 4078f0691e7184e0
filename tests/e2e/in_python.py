"""What ``import fusionjax`` offers, as a person would use it beside runs/demo of two seeds.

Run by tests/e2e/test_launch.py in its folder: users have one device and one interpreter.
"""

import json
from pathlib import Path

import pytest

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


def an_explanation_is_what_hiding_a_modality_changes(run: fusionjax.Run) -> None:
    told = run.explain("SPX", "2018-06-29")
    assert told.index.tolist() == ["price", "vix", "chart"]
    full = run.predict("SPX", "2018-06-29").iloc[0]
    hidden = run.predict("SPX", "2018-06-29", without=["price"]).iloc[0]
    column = "daily_volatility.5d"
    assert told.loc["price", "weight"] == full["modality_weight.price"]
    assert told.loc["price", column] == pytest.approx(full[column] - hidden[column])
    assert told.loc["price", column] != 0


def scores_are_a_frame_and_a_page(run: fusionjax.Run) -> None:
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


if __name__ == "__main__":
    a_run_is_loaded_and_forecasts()
    opened = fusionjax.load("runs/demo")
    an_explanation_is_what_hiding_a_modality_changes(opened)
    scores_are_a_frame_and_a_page(opened)
    print("all as it should be")
