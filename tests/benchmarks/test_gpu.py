"""benchmarks/gpu.py: one table whatever happens, and no number of a rehearsal without the word."""

import json
import re
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu
import gpu_kit
from fusionjax.errors import InputError
from gpu_items import page, runner
from gpu_items.runner import ITEMS, GpuReport, Item, ItemOutcome, Runner

ATTENTION = next(item for item in ITEMS if item.name == "attention")
MADE_UP = {
    "broken": "raise ValueError('no such | kernel')",
    "wrong": "bench.claim('two and two are five', 2 + 2 == 5)",
    "slow": "bench.figure('begun', 1.5, 's'); subprocess.run(['sleep', '97531'])",
}


@pytest.fixture(autouse=True)
def items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Item]:
    """Items that a child process finds beside the real ones."""
    for name, body in MADE_UP.items():
        (tmp_path / f"{name}.py").write_text(
            f"import subprocess\n\n\ndef measure(bench):\n    {body}\n"
        )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return {name: Item(i, name, name, 5.0) for i, name in enumerate(MADE_UP, 20)}


@pytest.fixture
def rehearsal(tmp_path: Path) -> Runner:
    return Runner(rehearse=True, kit=tmp_path, work=tmp_path / "work", seconds=600.0)


@pytest.mark.slow
def test_a_table_with_what_failed_and_why(
    tmp_path: Path, items: dict[str, Item], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    some = (items["broken"], items["wrong"], ATTENTION)
    monkeypatch.setattr(gpu, "ITEMS", some)
    asked = [f"--{name}={tmp_path / name}" for name in ("out", "work", "kit")]
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--rehearse", "--items=5,20,21", *asked])
    assert gpu.main() == 1
    text = (tmp_path / "out/gpu_rehearsal.md").read_text()
    assert text in capsys.readouterr().out
    assert text.startswith("**A rehearsal on the CPU at toy widths. None of this is a card's.**")
    assert "- 20, broken: failed: ValueError: no such | kernel (status 1)" in text
    assert "- 21, wrong: failed: does not hold: two and two are five" in text
    assert "- 5, attention: done" in text, "the others go on"
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| 5 attention")]
    measured = [row for row in rows if "–" not in row]
    assert len(measured) >= 10
    for what, median, *_ in (row[1:] for row in measured):
        assert re.fullmatch(r"rehearsal (yes|[\d.,e-]+)", median), what
    assert [row[1] for row in rows if row[-1] == "needs a GPU |"] == [
        "cuDNN's kernels in the compiled program",
        "cuDNN, local_window_size, causal: half the pairs",
    ]
    raw = json.loads((tmp_path / "out/gpu_rehearsal.json").read_text())
    assert [o["status"] for o in raw["outcomes"]] == ["failed", "failed", "done"]
    assert all(f["rehearsal"] for o in raw["outcomes"] for f in o["figures"])
    error = next(f for f in raw["outcomes"][2]["figures"] if "error in bfloat16" in f["what"])
    assert 1e-4 < error["values"][0] < 1e-2


def test_what_does_not_fit_the_budget_is_told(rehearsal: Runner, items: dict[str, Item]) -> None:
    begun = time.monotonic()
    made = rehearsal.one(items["slow"], 6.0)
    assert 6 <= time.monotonic() - begun < 60
    assert (made.status, made.why) == ("stopped", "--seconds were up")
    assert [f["what"] for f in made.figures] == ["begun"], "what it had measured counts"
    left = [p for p in psutil.process_iter(["cmdline"]) if "97531" in (p.info["cmdline"] or ())]
    _, alive = psutil.wait_procs(left, 10)  # what is killed is gone a moment later
    assert alive == [], "and what it had started is ended"
    made = rehearsal.one(ATTENTION, 4.0)
    assert made.status == "not run"
    assert made.why == "4 s of --seconds are left, it needs 5 or more"


def test_without_a_gpu_nothing_but_a_rehearsal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    with pytest.raises(InputError, match="JAX finds no GPU here, only cpu.*--rehearse"):
        Runner(rehearse=False, kit=tmp_path, work=tmp_path, seconds=600.0).run([], "")


def test_goals_are_judged_on_a_gpu_alone() -> None:
    rows = [
        {"what": "a", "values": [1.0, 3.0, 1.2], "unit": "s", "at_most": 1.2, "at_least": None},
        {"what": "b", "values": [0.5], "unit": "", "at_most": None, "at_least": 0.98},
        {"what": "c", "missing": "not run: torch is missing"},
    ]
    done = ItemOutcome(ATTENTION, "done", "", 1.0, [{"note": "", **row} for row in rows])
    machine = {"card": "NVIDIA H100", "driver": "1", "python": "3", "cpus": 16, "versions": {}}
    real = page.text(GpuReport(False, "command", "today", machine, [done]))
    assert "| 5 attention | a | 1.2 | 1 to 3 | 3 | s | ≤ 1.2 | yes |" in real
    assert "| 5 attention | b | 0.5 |  | 1 |  | ≥ 0.98 | NO |" in real
    assert "| c | – | – | – | – | – | – | not run: torch is missing |" in real
    assert "rehears" not in real
    mock = page.text(GpuReport(True, "command", "today", machine, [done]))
    assert "| rehearsal 1.2 | rehearsal 1 to 3 | 3 | s | ≤ 1.2 | not judged |" in mock


def test_the_kit_takes_the_locks_versions_with_their_hashes() -> None:
    lock = gpu_kit.locked((ROOT / "requirements.lock").read_text())
    assert {*gpu_kit.WHEELS} <= {*lock}
    for name in gpu_kit.WHEELS:
        assert re.match(rf"{name}==[\d.]+ \\\n +--hash=sha256:[0-9a-f]{{64}}", lock[name]), name
    text = (
        "a==1 ; python_full_version < '3.12' \\\n    --hash=sha256:0\n    # via b\n"
        "a==2 ; python_full_version >= '3.12' \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n"
    )
    assert gpu_kit.locked(text) == {"a": "a==2 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2"}


def test_every_item_is_there_and_has_a_place_in_the_docs() -> None:
    assert [item.number for item in ITEMS] == [*range(1, 11)]
    text = (ROOT / "docs/gpu.md").read_text()
    for item in ITEMS:
        assert Path(runner.__file__).with_name(f"{item.module.split('.')[1]}.py").exists()
        assert f"\n{item.number}. **{item.name[0].upper()}{item.name[1:]}" in text
