"""``fusionjax train --extend`` as it is typed: refusals, a kill in the middle, what reads it."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import ENVIRONMENT, SMALL, arguments, launch

from fusionjax.train.checkpoint import Checkpoints

RUN = "--run=runs/demo"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of four steps."""
    folder = tmp_path_factory.mktemp("extend")
    few = ["--config.train.steps=4", "--config.distill.experts=()", "--seeds=2"]
    launch(folder, "train", "demo", *SMALL, *few, "--notify=tee told.json")
    told = json.loads((folder / "told.json").read_text())
    assert (told["outcome"], told["status"]) == ("finished", 0)
    return folder


@pytest.mark.parametrize(
    ("config", "flags", "message"),
    [
        (None, [RUN, "--extend=0"], "--extend=0: expected a number of further steps, at least 1"),
        (None, ["--run=runs/none", "--extend=4"], "runs/none: no run here"),
        (None, [f"{RUN}/seed_0", "--extend=4"], "is one seed of a run; give the folder of the run"),
        (None, [RUN, "--extend=4", "--seeds=2"], "all seeds that the run has; leave out --seeds"),
        (None, [RUN], "--run goes with --extend; to resume a training repeat its command"),
        ("demo", ["--extend=4", *SMALL[:3]], "holds a run of another config"),
        ("demo", [*SMALL, "--config.train.steps=9"], "--extend=STEPS to train it further"),
    ],
)
def test_refusals(trained: Path, config: str | None, flags: list[str], message: str) -> None:
    said = launch(trained, "train", config, *flags, status=2)
    assert message in said
    assert "data audit" not in said, "before the data are opened and anything is compiled"


def sums(folder: Path) -> dict[str, dict[str, int]]:
    found = {}
    for seed in ("seed_0", "seed_1"):
        with Checkpoints(folder / "runs/demo" / seed) as checkpoints:
            assert checkpoints.latest() == 44
            found[seed] = checkpoints._description(44)["sums"]
    return found


@pytest.mark.nightly
def test_a_killed_extension_ends_with_the_same_bits(trained: Path, tmp_path: Path) -> None:
    killed = shutil.copytree(trained, tmp_path / "killed")
    more = [RUN, "--extend=40", "--config.train.checkpoint_every=8"]
    said = launch(trained, "train", None, *more)
    assert "T8 seed 0: extended by 40 steps, from 4 to 44" in said
    assert "T8 seed 1: extended by 40 steps, from 4 to 44" in said
    saved = killed / "runs/demo/seed_1/checkpoints/16"
    with subprocess.Popen(
        [sys.executable, *arguments("train", None, *more)], cwd=killed, env=ENVIRONMENT
    ) as running:
        until = time.monotonic() + 240
        while not saved.exists():
            assert time.monotonic() < until
            assert running.poll() is None
            time.sleep(0.02)
        running.kill()
    said = launch(killed, "train", None, RUN, "--extend=9", status=2)
    assert "its extension by 40 steps is not finished; finish it with --extend=40" in said
    said = launch(killed, "evaluate", None, RUN, status=2)
    assert "seed_1: stopped at step" in said
    assert "of 44; run the command that trained it again" in said
    launch(killed, "train", None, *more)
    assert sums(killed) == sums(trained)
    said = launch(killed, "predict", None, RUN)
    assert json.loads(said[said.index("[") : said.rindex("]") + 1])[0]["session"] == "2018-12-31"
