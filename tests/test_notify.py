"""How a long command ended is told to a program; whatever that does, the command ends the same."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

ENDS = """
import os, sys, time
from absl import flags
from fusionjax import app, notify
from fusionjax.errors import InputError, Preempted

notify.SECONDS = 2.0
HOW = flags.DEFINE_string("how", "", "")

def main(config):
    how = HOW.value
    if how == "refused":
        raise InputError("bars.csv: row 3 is odd; mend it")
    if how == "stopped":
        raise Preempted("stopped at step 7 of 9; the state is saved")
    if how == "failed":
        raise ZeroDivisionError("a bug")
    if how == "status":
        sys.exit(9)
    if how == "waits":
        print("waits", flush=True)
        time.sleep(60)

app.run(main, app.Needs(config=False, long=HOW_LONG))
"""
# Writes what it got to told.json and its words to words.json, then does as its name says.
HOOK = """
import json, pathlib, subprocess, sys, time
pathlib.Path("told.json").write_text(sys.stdin.read())
pathlib.Path("words.json").write_text(json.dumps(sys.argv[1:]))
if sys.argv[1] == "fails":
    sys.exit("no route to the mail server")
if sys.argv[1] == "hangs":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    time.sleep(120)
"""


def ended(
    folder: Path, how: str, hook: str | None, long: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    (folder / "ends.py").write_text(ENDS.replace("HOW_LONG", str(long)))
    (folder / "hook.py").write_text(HOOK)
    return subprocess.run(
        [sys.executable, "ends.py", f"--how={how}", *([f"--notify={hook}"] if hook else [])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("how", "outcome", "status", "reason"),
    [
        ("finishes", "finished", 0, ""),
        ("refused", "refused", 2, "bars.csv: row 3 is odd; mend it"),
        ("stopped", "stopped", 75, "stopped at step 7 of 9; the state is saved"),
        ("failed", "failed", 1, "ZeroDivisionError: a bug"),
        ("status", "failed", 9, ""),
    ],
)
def test_each_outcome_is_told(
    tmp_path: Path, how: str, outcome: str, status: int, reason: str
) -> None:
    done = ended(tmp_path, how, f"{sys.executable} hook.py listens {{outcome}} '$HOME; {{text}}'")
    assert done.returncode == status, done.stderr
    assert "--notify" not in done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert (told["outcome"], told["status"], told["reason"]) == (outcome, status, reason)
    assert told["command"] == f"ends.py --how={how}", "without the hook, which may hold a secret"
    assert told["text"].startswith(f"ends.py --how={how}: {outcome} after 0:00:")
    assert told["text"].endswith(reason)
    assert told["seconds"] >= 0
    assert told["folder"] == str(tmp_path)
    words = json.loads((tmp_path / "words.json").read_text())
    assert words == ["listens", outcome, f"$HOME; {told['text']}"], "no shell reads it"


def test_a_hook_that_fails_is_told_and_changes_nothing(tmp_path: Path) -> None:
    for how, status in (("finishes", 0), ("stopped", 75), ("refused", 2)):
        done = ended(tmp_path, how, f"{sys.executable} hook.py fails")
        assert done.returncode == status
        wanted = "ended with status 1 (no route to the mail server); nobody may have been told"
        assert wanted in done.stderr


def test_a_hook_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    begun = time.monotonic()
    done = ended(tmp_path, "finishes", f"{sys.executable} hook.py hangs")
    assert done.returncode == 0
    assert "did not end within 2 s and was killed" in done.stderr
    assert time.monotonic() - begun < 30


def test_ctrl_c_is_told_too(tmp_path: Path) -> None:
    ended(tmp_path, "finishes", None)
    with subprocess.Popen(
        [sys.executable, "ends.py", "--how=waits", f"--notify={sys.executable} hook.py x"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert json.loads((tmp_path / "told.json").read_text())["outcome"] == "stopped"


def test_the_first_process_tells(tmp_path: Path) -> None:
    hook = f"{sys.executable} hook.py x"
    for names in ({"JAX_PROCESS_ID": "1"}, {"SLURM_PROCID": "3"}):
        assert ended(tmp_path, "finishes", hook, **names).returncode == 0
        assert not (tmp_path / "told.json").exists()
    assert ended(tmp_path, "finishes", hook, JAX_PROCESS_ID="0").returncode == 0
    assert (tmp_path / "told.json").exists()


@pytest.mark.parametrize(
    ("hook", "long", "message"),
    [
        ("no_such_program -x", True, "--notify=no_such_program -x: no such program here"),
        ("mail 'x", True, "--notify=mail 'x: No closing quotation; expected a program"),
        ("true", False, "--notify goes with commands that take long, such as train and group"),
    ],
)
def test_what_could_tell_nobody_is_refused_before_any_work(
    tmp_path: Path, hook: str, long: bool, message: str
) -> None:
    done = ended(tmp_path, "failed", hook, long)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}"), done.stderr


def test_long_commands_list_it(tmp_path: Path) -> None:
    listing = {
        name: "--notify: " in subprocess.run(
            [sys.executable, "-m", "fusionjax", name, "--help"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in ("train", "finetune", "serve", "sweep", "group", "predict")
    }  # fmt: skip
    assert listing == {**dict.fromkeys(listing, True), "predict": False}
