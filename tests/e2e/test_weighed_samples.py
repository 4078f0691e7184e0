"""Samples by hand: weighed, shown, listed and restored, as an operator types it."""

import json
from pathlib import Path

import pytest
from commands import SMALL, launch

from fusionjax import files


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    launch(folder, "train", "demo", *SMALL, "--config.train.steps=4")
    return folder


@pytest.mark.slow
def test_a_sample_is_weighed_shown_listed_and_restored(run: Path) -> None:
    given = ["--run=runs/demo/seed_0"]
    said = launch(run, "samples", "demo", *given, "--weigh=2000=.25")
    assert "applies when its training resumes from step 4" in said
    assert "2000 (SPX 2006-" in said
    assert "weighed by hand" in said
    with files.locked(run / "runs/demo/seed_0"):
        said = launch(run, "samples", "demo", *given, "--weigh=2000=1", status=2)
        assert "its training is running; stop it" in said
        assert "2000 (SPX 2006-" in launch(run, "samples", "demo", *given), "to look is no harm"
    said = launch(run, "samples", "demo", *given, "--show=2000")
    assert "0.25: weighed by hand" in said
    assert "sp500: bars of SPX from" in said
    assert "chart.pixels" in said
    listed = json.loads((run / "runs/demo/seed_0/samples.json").read_text())
    assert listed["2000"]["weight"] == 0.25
    assert listed["2000"]["since"] == 4
    said = launch(run, "train", "demo", *SMALL, "--config.train.steps=4")
    assert "S1 0 sample(s) excluded, 1 reweighted" in said
    said = launch(run, "samples", "demo", *given, "--restore=2000")
    assert "0 sample(s)" in said
    for flags, message in (
        (["--restore=2000"], "has no entry for sample 2000"),
        (["--weigh=2000"], "expected id=weight with a weight in [0, 1]"),
        (["--weigh=2000=7"], "expected id=weight with a weight in [0, 1]"),
        (["--show=999999"], "there is no sample 999999; this data has 0 to"),
    ):
        assert message in launch(run, "samples", "demo", *given, *flags, status=2)
    (run / "runs/demo/seed_0/samples.json").write_text("[1, 2")
    assert "no list of samples" in launch(run, "samples", "demo", *given, status=2)
