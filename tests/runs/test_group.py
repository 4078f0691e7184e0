"""Several trainings of a group beside each other: logs, places, GPUs, and one end for all."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from fusionjax.errors import InputError
from fusionjax.report import live
from fusionjax.runs import places

# Stands in for launch/train.py: says when it begins and ends, does what its config's name says.
TRAIN = """
import os, pathlib, signal, sys, time
name = sys.argv[1].partition("=")[2].removesuffix(".py")
signal.signal(15, lambda *_: sys.exit(75))
signal.signal(2, signal.SIG_IGN)
with open("order", "a") as f:
    f.write(f"+{name} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
print(f"{name} trains with {sys.argv[2:]}")
if name == "bad":
    sys.exit("no such data")
if name.startswith("waits"):
    time.sleep(120)
until = time.monotonic() + 60
meeting = {"+meets_1", "+meets_2"}
while name.startswith("meets") and not meeting <= set(open("order").read().split()):
    assert time.monotonic() < until, "they do not train beside each other"
    time.sleep(0.05)
with open("order", "a") as f:
    f.write(f"-{name}\\n")
"""


def group(folder: Path, *names: str, at_once: int = 2, **environment: str) -> subprocess.Popen[str]:
    shutil.copy(ROOT / "launch/group.py", folder)
    (folder / "train.py").write_text(TRAIN)
    for name in names:
        (folder / f"{name}.py").touch()
    configs = ",".join(f"{name}.py" for name in names)
    return subprocess.Popen(
        [sys.executable, "group.py", f"--configs={configs}", f"--at_once={at_once}", "--seeds=3"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def order(folder: Path) -> list[str]:
    path = folder / "order"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_two_train_at_once_and_each_has_its_log(tmp_path: Path) -> None:
    said, _ = (running := group(tmp_path, "meets_1", "bad", "meets_2", "d")).communicate(
        timeout=120
    )
    assert running.returncode == 1, "of the one that failed"
    steps, most = order(tmp_path), 0
    assert {s for s in steps if s[0] == "-"} == {"-meets_1", "-meets_2", "-d"}
    begun: set[str] = set()
    for step in steps:
        begun = begun | {step[1:]} if step[0] == "+" else begun - {step[1:]}
        most = max(most, len(begun - {"bad"}))
    assert most == 2, "as many as were asked for"
    logs = tmp_path / "runs/groups"
    assert (logs / "meets_1.py.log").read_text() == "meets_1 trains with ['--seeds=3']\n"
    assert "no such data" in (logs / "bad.py.log").read_text()
    assert "bad.py: failed with status 1; going on" in said
    table = said.rsplit("state", 1)[1]
    for words in ("meets_1.py", "done", "failed with status 1", "runs/groups/d.py.log"):
        assert words in table
    # Those that are done have their own rows: of their trainings.
    shown = live.look(tmp_path / "runs").set_index("training")["state"]
    assert shown.to_dict() == {"bad.py": "failed with status 1"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all(tmp_path: Path, number: signal.Signals) -> None:
    with group(tmp_path, "waits_1", "waits_2", "after") as running:
        until = time.monotonic() + 60
        while len(order(tmp_path)) < 2:
            assert time.monotonic() < until
            assert running.poll() is None
            time.sleep(0.05)
        time.sleep(0.2)
        os.killpg(running.pid, number)  # as a terminal does it with Ctrl-C
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 75, said
    shown = live.look(tmp_path / "runs").set_index("training")["state"]
    stopped = "stopped; the same command goes on"
    assert shown.to_dict() == {
        "waits_1.py": stopped,
        "waits_2.py": stopped,
        "after.py": "not begun",
    }
    assert order(tmp_path) == ["+waits_1", "+waits_2"] or order(tmp_path) == [
        "+waits_2",
        "+waits_1",
    ]
    assert "after.py" in said.rsplit("state", 1)[1]


def test_gpus_are_shared_out(tmp_path: Path) -> None:
    running = group(tmp_path, "a", "b", CUDA_VISIBLE_DEVICES="4,5,6,7,8")
    running.communicate(timeout=120)
    assert running.returncode == 0
    begun = {x.split()[0]: x.split()[1] for x in (tmp_path / "order").read_text().splitlines()
             if x[0] == "+"}  # fmt: skip
    assert sorted(begun.values()) == ["4,5", "6,7"]


def test_one_after_the_other_prints_to_the_terminal(tmp_path: Path) -> None:
    said, _ = (running := group(tmp_path, "a", "b", at_once=1)).communicate(timeout=120)
    assert running.returncode == 0
    assert order(tmp_path) == ["+a", "-a", "+b", "-b"]
    assert "a trains with ['--seeds=3']" in said
    assert not list((tmp_path / "runs/groups").glob("*.log"))


@pytest.mark.parametrize(
    ("at_once", "environment", "message"),
    [
        (0, {}, "--at_once=0: expected a number of trainings, at least 1"),
        (3, {"CUDA_VISIBLE_DEVICES": "0,1"}, "--at_once=3: 2 GPU(s) here, and a GPU has one"),
        (
            2,
            {
                "JAX_COORDINATOR_ADDRESS": "localhost:1",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": "0",
            },
            "--at_once is for one process; several train one config at a time",
        ),
    ],
)
def test_refusals(tmp_path: Path, at_once: int, environment: dict[str, str], message: str) -> None:
    running = group(tmp_path, "a", at_once=at_once, **environment)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 2
    assert f"error: {message}" in said
    assert not order(tmp_path)


def test_shares_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert places._shares([], 3) is None, "on a CPU all share its cores"
    assert places._shares(["0", "1", "2"], 1) == [["0", "1", "2"]]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert places._gpus() == []
    with pytest.raises(InputError, match="expected at most 1"):
        places._shares(["0"], 2)
