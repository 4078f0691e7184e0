"""The studies as a person types them: what they write, and what they refuse."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import SMALL, launch


@pytest.mark.nightly
def test_a_stream_is_lived_under_the_rules_that_are_asked_for(tmp_path: Path) -> None:
    launch(tmp_path, "train", "demo", *SMALL, "--config.train.steps=4", "--seeds=2")
    flags = ["--from=runs/demo", "--rule=never update", "--rule=incremental"]
    quick = ["--config.finetune.split=dev", "--config.finetune.update_interval=100", *SMALL]
    launch(tmp_path, "studies/stream", "demo", *flags, *quick)
    table = (tmp_path / "runs/demo/stream/dev.md").read_text()
    assert "502 samples, 2017-01-03 to 2018-12-31; 2 seed(s)" in table
    assert "| never update |" in table
    assert "| incremental |" in table
    assert "an update: seconds, FLOPs" in table
    assert re.search(r"\| [\d.]+ s, [\d.]+e\+\d+ \|", table), (
        "of an update, whatever a retraining costs"
    )


def test_a_planted_market_is_a_market_folder(tmp_path: Path) -> None:
    said = launch(tmp_path, "studies/plant", "planted_folder", "--sessions=40")
    assert "written to planted_market; fusionjax prepare reads it" in said
    assert len(pd.read_parquet(tmp_path / "planted_market/bars.parquet")) == 41, "one closes it"
    made = {p.name for p in (tmp_path / "planted_market").iterdir()}
    assert {"texts.parquet", "images", "audio", "video", "truth.parquet"} <= made


def test_exchange_rates_are_a_market_folder(tmp_path: Path) -> None:
    rates = np.exp(0.01 * np.random.default_rng(0).normal(size=(30, 8)).cumsum(0))
    np.savetxt(tmp_path / "rates.txt", rates, delimiter=",")
    own = "studies/exchange_rates", "studies/configs/exchange_rates"
    assert "30 days to exchange_rates" in launch(tmp_path, *own, "--rates=rates.txt")
    bars = pd.read_parquet(tmp_path / "exchange_rates/bars.parquet")
    japan = bars[bars["symbol"] == "JPN"]
    np.testing.assert_allclose(japan["close"], rates[:, 5])
    assert (japan["high"] == japan["low"]).all()
    assert japan["date"].astype(str).tolist()[:6:5] == ["1990-01-01", "1990-01-08"], "no week-ends"
    np.savetxt(tmp_path / "seven.txt", rates[:, :7], delimiter=",")
    said = launch(tmp_path, *own, "--rates=seven.txt", status=2)
    assert "seven.txt: expected 8 columns of positive rates, and has 7 columns" in said
    assert "cannot be read as numbers" in launch(tmp_path, *own, "--rates=none.txt", status=2)


@pytest.mark.slow
def test_a_ladder_is_climbed_and_written_down(tmp_path: Path) -> None:
    few = [
        "--config.ladder.seeds=2",
        "--config.ladder.subsets=(('numeric',), ('numeric', 'text'))",
        "--config.ladder.fusions=(('equal', {'model.fusion': 'equal'}),)",
        "--config.ladder.oracle=()",
        "--config.train.steps=40",
    ]
    said = launch(tmp_path, "studies/ladder", "studies/configs/planted", *few, "--split=dev")
    assert "written to runs/planted_full/ladder_dev.md" in said
    assert "| equal |" in (tmp_path / "runs/planted_full/ladder_dev.md").read_text()


@pytest.mark.slow
def test_a_file_of_views_is_a_study(tmp_path: Path) -> None:
    rng, label = np.random.default_rng(0), np.arange(90) % 3
    x = {f"view_{k}": rng.normal(size=(90, 3)) + label[:, None] for k in "ab"}
    np.savez(tmp_path / "mine.npz", label=np.array(["no", "so", "yes"])[label], **x)
    few = [
        "--config.ladder.root=mine.npz",
        "--config.ladder.variant=junk",
        "--config.ladder.seeds=2",
        "--config.ladder.fusions=(('equal', {'model.fusion': 'equal'}),)",
        "--config.train.steps=20",
    ]
    said = launch(tmp_path, "studies/ladder", "studies/configs/views", *few, "--split=test")
    assert "written to runs/mine_junk/ladder_test.md" in said
    table = (tmp_path / "runs/mine_junk/ladder_test.md").read_text()
    assert "| fusion | view_a, view_b | + junk_0, junk_1, junk_2, junk_3 |" in table
    assert "| equal |" in table
    assert "| product of logistic regressions |" in table


@pytest.mark.parametrize(
    ("script", "config", "flags", "message"),
    [
        ("ground_truth", "digits", [], "no truth is known of views clean; choose planted"),
        ("ladder", "planted", ["--config.ladder.variant=fulll"], "is 'fulll'; expected full"),
        (
            "ladder",
            "views",
            ["--config.ladder.root=gone.npz"],
            "gone.npz: no such file; set config",
        ),
        ("coreset", "planted", ["--share=2", "--config.ladder.seeds=1"], "--share=2.0: expected"),
        ("drift_recovery", "drift", ["--config.data.root=nowhere"], "nowhere: no such folder"),
    ],
)
def test_mistakes_are_answered_in_one_message(
    tmp_path: Path, script: str, config: str, flags: list[str], message: str
) -> None:
    said = launch(tmp_path, f"studies/{script}", f"studies/configs/{config}", *flags, status=2)
    assert message in " ".join(said.split()), said
