"""Kills, what grows, and what a guard is worth: the benchmarks of a training's endurance."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL
from conftest import ROOT

from benchmarks.measures import kill, rebounds, soak
from fusionjax.errors import InputError

FAST = [
    f"--config={ROOT}/configs/demo.py",
    *SMALL,
    *("--config.train.steps=40", "--config.train.checkpoint_every=8", "--config.guard.window=8"),
    "--config.finetune.steps=16",
]


@pytest.mark.nightly
def test_commands_killed_anywhere_leave_the_same_bits(tmp_path: Path) -> None:
    """A dozen of the kills that benchmarks/kills.py --kills=60 makes."""
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


@pytest.mark.slow
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
        rebounds.RunOutcome(policy, accident, seed, loss, loss, int(policy == "guard"))
        for accident in rebounds.ACCIDENTS
        for policy, losses in cells.items()
        for seed, loss in enumerate(losses)
    ]
    table = rebounds.for_screen(found)
    cells_of = [list(column.cells) for column in table.columns]
    assert cells_of[2][:2] == ["1.1000 ± 0.1000", "1.0000 ± 0.1000"]
    assert cells_of[3][1].startswith("-0.1000 [")
    assert cells_of[4][1] == "1.0"
