"""Kills, samples by hand, and what grows: the commands of an operator."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import launch
from conftest import ROOT
from test_launch import SMALL

from fusionjax import files
from fusionjax.endure import kill, rebounds, soak
from fusionjax.errors import InputError

FAST = [
    f"--config={ROOT}/configs/demo.py",
    *SMALL,
    *("--config.train.steps=40", "--config.train.checkpoint_every=8", "--config.guard.window=8"),
    "--config.finetune.steps=16",
]


@pytest.mark.nightly
def test_commands_killed_anywhere_leave_the_same_bits(tmp_path: Path) -> None:
    """A dozen of the kills that launch/endure.py --kills=60 makes."""
    here = ROOT / "launch"
    commands = [
        ([str(here / "prepare.py"), *FAST], 2),
        ([str(here / "train.py"), *FAST], 7),
        ([str(here / "finetune.py"), *FAST, "--from=runs/demo"], 4),
    ]
    made = kill.campaign(commands, tmp_path, 10, seed=1)
    assert made.differing == []
    assert len(made.kills) >= 10
    assert {"train", "finetune"} <= {k.command for k in made.kills}
    assert "every array is bit for bit that of the undisturbed run" in str(made)


def test_a_difference_is_found(tmp_path: Path) -> None:
    """A command whose outcome depends on how often it was started."""
    script = tmp_path / "unsteady.py"
    script.write_text(
        "import json, os, pathlib, time\n"
        "p = pathlib.Path('scores_x.json')\n"
        "n = json.loads(p.read_text()) + 1 if p.exists() else 0\n"
        "pathlib.Path('new').write_text(json.dumps(n))\n"
        "os.replace('new', p)\n"
        "time.sleep(2)\n"
    )
    made = kill.campaign([([str(script)], 3)], tmp_path / "work", 3)
    assert made.differing
    assert all(line.endswith("scores_x.json differs") for line in made.differing)
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    with pytest.raises(InputError, match="ended with 3"):
        kill.campaign([([str(broken)], 1)], tmp_path / "other", 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    launch(folder, "train", "demo", *SMALL, "--config.train.steps=4")
    return folder


def test_a_sample_is_weighed_shown_listed_and_restored(run: Path) -> None:
    given = ["--run=runs/demo/seed_0"]
    said = launch(run, "samples", "demo", *given, "--weigh=2000=.25")
    assert "counts when its training goes on from step 4" in said
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
    assert "S1 0 sample(s) taken out, 1 weighed anew" in said
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


def log(folder: Path, **columns: np.ndarray) -> Path:
    steps = np.arange(1, 101) * 20
    flat = {name: np.full(100, 50.0) for name in soak.WATCHED}
    rows = [
        {"step": int(s)} | {k: float(v[i]) for k, v in (flat | columns).items()}
        for i, s in enumerate(steps)
    ]
    folder.mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def test_what_grows_is_told_from_what_wobbles(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wobble = 1e9 * (1 + 0.01 * rng.normal(size=100))
    assert all(t.flat for t in soak.trends(log(tmp_path / "a", host_bytes=wobble)))
    leak = wobble + np.linspace(0, 2e8, 100)
    grown = {t.what: t for t in soak.trends(log(tmp_path / "b", host_bytes=leak))}
    assert not grown["host_bytes"].flat
    assert grown["host_bytes"].growth == pytest.approx(1.8e8, rel=0.1)
    files = {t.what: t for t in soak.trends(log(tmp_path / "c", open_files=np.arange(100.0)))}
    assert not files["open_files"].flat
    assert files["threads"].flat


def test_the_table_of_rebounds_pairs_seeds() -> None:
    cells = {"no guard": (1.0, 1.2, 1.1), "guard": (0.9, 1.1, 1.0)}
    found = [
        rebounds.Outcome(policy, accident, seed, loss, loss, int(policy == "guard"))
        for accident in rebounds.ACCIDENTS
        for policy, losses in cells.items()
        for seed, loss in enumerate(losses)
    ]
    table = rebounds.for_screen(found)
    cells_of = [list(column.cells) for column in table.columns]
    assert cells_of[2][:2] == ["1.1000 ± 0.1000", "1.0000 ± 0.1000"]
    assert cells_of[3][1].startswith("-0.1000 [")
    assert cells_of[4][1] == "1.0"


def test_say_what_to_endure(tmp_path: Path) -> None:
    assert "say what to endure" in launch(tmp_path, "endure", "demo", status=2)
