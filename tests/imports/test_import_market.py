"""The command: from downloads to a run that is scored; and what a shuffled download becomes."""

import tempfile
from pathlib import Path

import downloads
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from bare_commands import answers
from commands import ENVIRONMENT, SMALL, launch
from conftest import ROOT
from downloads import csv, sessions, take, titled, truth

from fusionjax.config import Config
from fusionjax.imports import writing

NAMES = {"symbol": "Ticker"} | titled("adj_close", "Adj Close")


@hypothesis.given(seed=st.integers(0, 2**32 - 1))
@hypothesis.settings(max_examples=5)
def test_the_order_of_rows_and_columns_and_their_case_do_not_matter(seed: int) -> None:
    """To the byte."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        csv(NAMES)(truth(), here / "plain.csv")
        cells = pd.read_csv(here / "plain.csv", dtype=str)
        names = [*rng.permutation(cells.columns)]
        shuffled = cells.iloc[rng.permutation(len(cells))][names]
        cased = ["".join(rng.choice([c.lower(), c.upper()]) for c in name) for name in names]
        shuffled.set_axis(cased, axis=1).to_csv(here / "other.csv", index=False)
        made = {}
        for name in ("plain", "other"):
            config = writing.write(take(here / f"{name}.csv"), here / name, "mine")
            bars = (here / name / "bars.parquet").read_bytes()
            made[name] = bars, config.read_text().replace(f"/{name}", "")
        assert made["plain"] == made["other"]


def test_the_config_splits_at_sessions_and_says_what_differs(tmp_path: Path) -> None:
    csv(NAMES)(truth(), tmp_path / "all.csv")
    writing.write(take(tmp_path / "all.csv"), tmp_path / "market", "mine")
    text = (tmp_path / "market.py").read_text()
    made: dict = {}
    exec(text, made)  # a config is a program
    config = Config.of(made["get_config"]())
    assert (config.name, config.data.source) == ("mine", "folder")
    days = [f"{day:%Y-%m-%d}" for day in sessions(80)]
    assert config.data.splits == {
        "train": (days[0], days[55]),
        "dev": (days[56], days[67]),
        "test": (days[68], days[79]),
    }
    assert "calendar" not in text
    assert len([line for line in text.splitlines() if line]) == 11, "one is for so few sessions"


@pytest.mark.slow
def test_from_a_download_to_a_scored_run(tmp_path: Path) -> None:
    days = pd.DatetimeIndex(sessions(250))
    bars = truth(("AAA", "BBB"), days).assign(close=lambda t: t["adj_close"])
    bars = bars.assign(low=bars["close"] * 0.99, high=bars["close"] * 1.01, open=bars["close"])
    downloads.each(bars, tmp_path / "in", "{}.csv", csv(titled("adj_close", "Adj Close")))
    said = launch(tmp_path, "import_market", None, "in", "--out=market")
    assert "Adj Close → adj_close" in said
    assert "calendar XNYS: 250 of 250 days" in said
    assert "audit: fit to train on" in said
    assert (tmp_path / "market" / "bars.parquet").exists()
    config = str(tmp_path / "market")
    launch(tmp_path, "train", config, *SMALL, "--config.train.steps=3")
    said = launch(tmp_path, "evaluate", config, "--run=runs/market", "--split=dev")
    assert "majority" in said


def test_what_is_not_fit_is_not_sent_to_training(tmp_path: Path) -> None:
    """Raw prices with a split and no adjusted close."""
    bars = truth(("AAA",))
    bars.loc[:39, downloads.PRICES] *= 5  # beside a split by two: ten new ones for an old one
    csv(titled())(bars, tmp_path / "AAA.csv")
    said = launch(tmp_path, "import_market", None, "AAA.csv", "--out=market", status=3)
    assert "audit: not fit to train on: unit jumps" in said
    assert "1 adjusted closes move once" in said
    assert "next: mend the download, and import it again with another --out\n" in said
    assert "launch/train.py" not in said


def test_mistakes_end_in_one_sentence_and_status_2(tmp_path: Path) -> None:
    csv(NAMES)(truth(), tmp_path / "all.csv")
    (tmp_path / "market").mkdir()
    script = str(ROOT / "launch" / "import_market.py")
    asked = {
        "give files or folders of downloads and --out": [],
        "market: exists, and is not overwritten; give another --out": ["all.csv", "--out=market"],
        "nosuch.csv: no such file or folder": ["nosuch.csv", "--out=new"],
        "should be one of <day-first|month-first>": ["all.csv", "--out=new", "--dates=either"],
    }
    got = answers([[script, *flags] for flags in asked.values()], tmp_path, ENVIRONMENT)
    for message, answer in zip(asked, got, strict=True):
        assert answer.status == 2, answer.said
        assert answer.said.startswith("error: ")
        assert message in " ".join(answer.said.split())
        assert "Traceback" not in answer.said
    assert {p.name for p in tmp_path.iterdir()} == {"all.csv", "market"}
