"""Real processes, each with virtual devices of its own, that train one model over loopback."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from fusionjax.errors import InputError
from fusionjax.parallel import processes

STEPS = 16
_FLAGS = (
    f"--config={ROOT}/configs/demo.py",
    "--cpu_mesh",
    *("--config.mesh.data=2", "--config.mesh.fsdp=2", "--config.model.fusion=distilled"),
    *(f"--config.train.steps={STEPS}", "--config.train.log_every=1"),
    *("--config.model.width=16", "--config.model.layers=1", "--config.train.checkpoint_every=1000"),
    "--config.distill.experts=()",  # fitted before the first step, by one process alone
)
_EIGHT = "--config.mesh.data=4"  # where losses are compared: 2 processes × 4 devices and 4 × 2
# Runs launch/train.py in this process, after an optional fault of one of the processes: it dies or
# hangs in the middle of a step, is slow with its data, or makes another program of the same config.
_RUNNER = f"""
import os, runpy, signal, sys, time
import jax
from fusionjax.parallel import processes
from fusionjax.train.program import Program
from fusionjax.data.windows import Windows
processes.HEARTBEAT_SECONDS = 10
fault, victim, at = os.environ.get("FAULT", "none:-1:0").split(":")
step, build, calls = Program.step, Windows.__call__, [0]
def faulty_step(self, *args):
    calls[0] += 1
    if processes.index() == int(victim) and calls[0] == int(at):
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "hang":
            time.sleep(600)
        if fault == "term":
            os.kill(os.getpid(), signal.SIGTERM)
    return step(self, *args)
def slow_build(self, *args):
    if processes.index() == int(victim):
        time.sleep(0.3)
    return build(self, *args)
Program.step = faulty_step
if fault == "slow":
    Windows.__call__ = slow_build
if fault == "program" and os.environ["JAX_PROCESS_ID"] == victim:
    jax.config.update("jax_default_matmul_precision", "highest")  # as a node's own profile may
sys.argv[0] = {str(ROOT / "launch/train.py")!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Run:
    """Processes of one run, started together."""

    def __init__(self, folder: Path, count: int, *flags: str, fault: str = "none:-1:0") -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        folder.mkdir(exist_ok=True, parents=True)
        self.folder = folder
        self.logs = [folder / f"process_{p}.log" for p in range(count)]
        self.begun = time.monotonic()
        self.processes = []
        for p, log in enumerate(self.logs):
            env = {**os.environ, "FAULT": fault, "PYTHONPATH": str(ROOT)}
            if count > 1:
                env |= {
                    "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                    "JAX_NUM_PROCESSES": str(count),
                    "JAX_PROCESS_ID": str(p),
                }
            own = [f for f in flags if not f.startswith("only ")]
            own += [f.split(":", 1)[1] for f in flags if f.startswith(f"only {p}:")]
            command = [sys.executable, "-c", _RUNNER, *_FLAGS, *own]
            with log.open("w") as out:
                self.processes.append(
                    subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=out)
                )

    def wait(self, seconds: float = 300) -> list[int]:
        """Exit codes; fails the test where a process is still there after so long."""
        codes = []
        for process in self.processes:
            try:
                codes.append(process.wait(max(1.0, self.begun + seconds - time.monotonic())))
            except subprocess.TimeoutExpired:
                for other in self.processes:
                    other.kill()
                pytest.fail(f"still running after {seconds} s\n{self.said(0)[-3000:]}")
        return codes

    def said(self, p: int) -> str:
        return self.logs[p].read_text()

    def losses(self) -> dict[int, float]:
        path = self.folder / "runs/demo_cpu_mesh/seed_0/metrics.jsonl"
        rows = map(json.loads, path.read_text().splitlines())
        return {row["step"]: row["loss"] for row in rows}


@pytest.fixture(scope="module")
def prepared_once(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"--config.data.prepared={tmp_path_factory.mktemp('prepared')}"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, prepared_once: str) -> Run:
    run = Run(tmp_path_factory.mktemp("alone"), 1, _EIGHT, prepared_once)
    assert run.wait() == [0], run.said(0)
    return run


def same_losses(run: Run, alone: Run) -> None:
    assert run.losses().keys() == alone.losses().keys() == set(range(1, STEPS + 1))
    ours, theirs = (np.array(list(r.losses().values())) for r in (run, alone))
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path: Path, alone: Run, prepared_once: str) -> None:
    run = Run(tmp_path, 2, _EIGHT, prepared_once)
    assert run.wait() == [0, 0], run.said(0) + run.said(1)
    same_losses(run, alone)
    assert "preflight: 2 processes with 4 device(s) each" in run.said(0)
    assert "run folder" not in run.said(1), "what is written once is written by the first"
    goodput = json.loads((tmp_path / "runs/demo_cpu_mesh/seed_0/goodput.json").read_text())
    assert 0 < goodput["goodput"] < 1
    assert goodput["seconds"]["init"] > 1


@pytest.mark.slow
def test_a_signal_to_one_of_four_stops_all_and_two_go_on(
    tmp_path: Path, alone: Run, prepared_once: str
) -> None:
    run = Run(tmp_path, 4, _EIGHT, prepared_once, fault="term:2:6")
    assert run.wait() == [75] * 4, run.said(0) + run.said(2)
    stopped = {re.search(r"stopped at step (\d+) of", run.said(p))[1] for p in range(4)}  # type: ignore[index]
    assert len(stopped) == 1, "all at the same step"
    assert 6 <= int(*stopped) < STEPS
    again = Run(tmp_path, 2, _EIGHT, prepared_once)
    assert again.wait() == [0, 0], again.said(0)
    assert f"going on from step {int(*stopped)}" in again.said(0)
    same_losses(again, alone)


@pytest.mark.nightly
def test_a_lost_process_is_named_and_ends_the_others(tmp_path: Path, prepared_once: str) -> None:
    run = Run(tmp_path, 2, prepared_once, fault="kill:1:6")
    codes = run.wait()
    assert codes[1] == -signal.SIGKILL
    assert codes[0] != 0
    assert re.search(r"tasks are unhealthy \(stopped sending heartbeats\):\s+1\b", run.said(0))
    ended = [log.stat().st_mtime for log in run.logs]
    assert ended[0] - ended[1] < 60, "ten seconds without a heartbeat, and time to end"


@pytest.mark.slow
def test_the_loss_of_the_first_process_ends_the_others(tmp_path: Path, prepared_once: str) -> None:
    """It holds the coordinator: they hear of it at once."""
    run = Run(tmp_path, 2, prepared_once, fault="kill:0:6")
    codes = run.wait()
    assert codes[0] == -signal.SIGKILL
    assert codes[1] != 0
    assert "Either the leader task was preempted/died" in run.said(1)
    ended = [log.stat().st_mtime for log in run.logs]
    assert ended[1] - ended[0] < 60


@pytest.mark.nightly
def test_a_hang_is_broken_with_the_stacks_of_all_threads(
    tmp_path: Path, prepared_once: str
) -> None:
    run = Run(tmp_path, 2, prepared_once, "--config.train.hang_seconds=25", fault="hang:1:6")
    codes = run.wait()
    assert 0 not in codes
    assert "Timeout (0:00:25)!" in run.said(1)
    assert "faulty_step" in run.said(1), "where it hangs"
    assert "Thread 0x" in run.said(1)


@pytest.mark.nightly
def test_a_straggler_is_named(tmp_path: Path, prepared_once: str) -> None:
    run = Run(tmp_path, 2, prepared_once, fault="slow:1:0")
    assert run.wait() == [0, 0], run.said(0)
    found = re.search(r"process 1 on \S+ waits (0\.\d+) s a step for its data", run.said(0))
    assert found, run.said(0)
    assert float(found[1]) > 0.1
    assert "process 0 on" not in run.said(0)


def test_processes_that_disagree_are_told_apart(tmp_path: Path, prepared_once: str) -> None:
    run = Run(tmp_path, 2, prepared_once, "only 1:--config.train.weight_decay=0.5")
    assert run.wait() == [2, 2], run.said(0)
    for p in (0, 1):
        assert "the processes do not have the same config" in run.said(p)
        assert re.search(r'process 1 on \S+: "weight_decay": 0.5,\n', run.said(p))


def test_the_same_config_in_another_program_is_refused(tmp_path: Path, prepared_once: str) -> None:
    run = Run(tmp_path, 2, prepared_once, fault="program:1:0")
    assert run.wait() == [2, 2], run.said(0)
    for p in (0, 1):
        assert "the processes do not have the same program" in run.said(p)
        assert re.search(r"process 1 on \S+: [0-9a-f]{16}\n", run.said(p))


def test_the_program_of_a_config_is_the_same_wherever_it_is_made() -> None:
    """Lowered, not compiled: what the processes compare must not depend on the process."""
    made = """if True:
        import jax
        from fusionjax.configs import h100_64
        from fusionjax.config import resolve
        from fusionjax.data.windows import dummy_batch
        from fusionjax.parallel.mesh import make_mesh, use_virtual_cpu_devices
        from fusionjax.train.program import Program
        use_virtual_cpu_devices(64)
        config = resolve(h100_64.get_config())
        config = config.override(dict(config.toy))
        print(Program(config, make_mesh(config.mesh), dummy_batch(config, 1), 100).digest)
    """
    found = [
        subprocess.run(
            [sys.executable, "-c", made],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert re.fullmatch(r"[0-9a-f]{16}\n", found[0])
    assert found[0] == found[1]


def test_stragglers_by_hand() -> None:
    waited = {0: ("a", 0.01), 1: ("b", 0.02), 2: ("c", 0.30), 3: ("d", 0.01)}
    (line,) = processes.named(waited, step_seconds=1.0)
    assert line.startswith("process 2 on c waits 0.300 s a step for its data, the others 0.010")
    assert processes.named(waited, step_seconds=10.0) == []
    assert processes.named({0: ("a", 9.0)}, 1.0) == []


def test_an_environment_that_says_half_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes.described() is None
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "127.0.0.1:1")
    with pytest.raises(InputError, match="JAX_PROCESS_ID or JAX_NUM_PROCESSES is missing"):
        processes.described()
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "many")
    with pytest.raises(InputError, match="not a number"):
        processes.described()
    monkeypatch.setenv("JAX_NUM_PROCESSES", "4")
    assert processes.described() == (1, 4)


def test_slurms_step_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"STEP_NODELIST": "n[1-2]", "NTASKS": "16", "PROCID": "9"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert processes.described() == (9, 16)
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert processes.described() is None, "a job of one process is no cluster"
