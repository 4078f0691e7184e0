"""What an operator submits: run here with stand-ins for the cluster's own commands."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from fusionjax.config import resolve
from fusionjax.configs import h100_1, h100_8, h100_64, h100_1024
from fusionjax.parallel import processes
from fusionjax.parallel.mesh import device_count
from fusionjax.parallel.xla_flags import JAX, NCCL, XLA_GPU, XLA_GPU_PROCESS, set_for_process
from fusionjax.report import live
from fusionjax.train.plan import PEAK_SHARE

SBATCH = ROOT / "launch/slurm/h100_64.sbatch"


# Of the NCCL user guide, "Environment Variables", what a training may want to set.
# https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html
NCCL_GUIDE = {
    *("NCCL_DEBUG", "NCCL_IB_HCA", "NCCL_IB_RETRY_CNT", "NCCL_IB_TIMEOUT", "NCCL_NVLS_ENABLE"),
    *("NCCL_SOCKET_IFNAME", "NCCL_ALGO", "NCCL_PROTO", "NCCL_CROSS_NIC", "NCCL_NET_GDR_LEVEL"),
}


def options(script: Path) -> dict[str, str]:
    lines = [x for x in script.read_text().splitlines() if x.startswith("#SBATCH --")]
    named = (x.removeprefix("#SBATCH --").partition("=") for x in lines)
    return {name: value for name, _, value in named}


@pytest.mark.parametrize(
    ("status", "before", "requeued"),
    [(0, 0, False), (75, 99, True), (2, 0, False), (250, 3, True), (250, 50, False)],
    ids=["done", "preempted", "refused", "lost a process", "lost too often"],
)
def test_the_batch_script_requeues_what_starting_again_mends(
    tmp_path: Path, status: int, before: int, requeued: bool
) -> None:
    for name, body in {
        "srun": '(echo "$@"; echo "$JAX_COMPILATION_CACHE_DIR $SRUN_CPUS_PER_TASK") > srun.log; '
        f"exit {status}",
        "scontrol": 'echo "$@" > scontrol.log',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "42"}
    env |= {"SLURM_RESTART_COUNT": str(before), "SLURM_CPUS_PER_TASK": "12"}
    env.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run(["bash", str(SBATCH)], cwd=tmp_path, env=env, check=False)
    assert done.returncode == status
    asked, cache = (tmp_path / "srun.log").read_text().splitlines()
    assert asked.endswith(".venv-cluster/bin/python launch/group.py --configs=configs/h100_64.py")
    assert "--kill-on-bad-exit=0" in asked, "a killed task's 143 would hide another's 75"
    assert cache == f"{tmp_path}/runs/compiled 12"
    assert (tmp_path / "scontrol.log").exists() == requeued
    if requeued:
        assert (tmp_path / "scontrol.log").read_text() == "requeue 42\n"


def test_slurm_starts_a_process_a_gpu_of_the_mesh() -> None:
    asked = options(SBATCH)
    assert asked["ntasks-per-node"] == asked["gpus-per-node"] == "8"
    assert int(asked["nodes"]) * 8 == device_count(resolve(h100_64.get_config()).mesh)
    assert asked["signal"].startswith("TERM@"), "to the processes, not to the batch script"
    assert "requeue" in asked
    assert asked["open-mode"] == "append", "a requeued job keeps its log"


def test_kubernetes_gives_what_the_processes_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = yaml.safe_load((ROOT / "launch/k8s/h100_64.yaml").read_text())
    (job,) = made["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["completions"] == spec["parallelism"] == 8
    assert spec["completionMode"] == "Indexed"
    gpus = container["resources"]["limits"]["nvidia.com/gpu"] * spec["completions"]
    assert gpus == device_count(resolve(h100_64.get_config()).mesh)
    env = {e["name"]: e.get("value", "3") for e in container["env"]}  # 3: from the pod's index
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert processes.described() == (3, 8)
    host = env["JAX_COORDINATOR_ADDRESS"].split(".")[0]
    assert host == f"{made['metadata']['name']}-{job['name']}-0-0", "pod 0 of the set"
    script = ROOT / container["command"][1]
    assert script.is_file()


def test_every_sibling_resolves_and_differs_only_where_it_says() -> None:
    sizes = {c: device_count(resolve(c.get_config()).mesh) for c in (h100_1, h100_8, h100_64)}
    assert list(sizes.values()) == [1, 8, 64]
    large = resolve(h100_1024.get_config())
    assert device_count(large.mesh) == 1024
    rows = {c.train.global_batch_size / (c.mesh.data * c.mesh.fsdp) for c in (
        large, resolve(h100_64.get_config()), resolve(h100_8.get_config())
    )}  # fmt: skip
    assert rows == {24}, "the same rows a device"


def test_flags_parse_in_the_pinned_jaxlib_and_wrong_ones_do_not() -> None:
    def starts(flags: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", "import jax; jax.devices()"],
            env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )

    environment = {"XLA_FLAGS": ""}
    set_for_process(environment)
    compiler = " ".join(f"--{f.name}={str(f.value).lower()}" for f in XLA_GPU)
    done = starts(f"{environment['XLA_FLAGS']} {compiler}")
    assert done.returncode == 0, done.stderr
    assert starts("--xla_gpu_no_such_flag=true").returncode != 0
    for flag in (*XLA_GPU, *XLA_GPU_PROCESS, *JAX, *NCCL):
        assert flag.reason
        assert flag.source


def test_the_environment_holds_what_its_readers_know_and_what_a_user_set_stays() -> None:
    assert {flag.name for flag in NCCL} <= NCCL_GUIDE
    environment: dict[str, str] = {}
    set_for_process(environment)
    assert environment == {
        "XLA_CLIENT_MEM_FRACTION": "0.92",
        "NCCL_DEBUG": "WARN",
        "XLA_FLAGS": "--xla_gpu_nccl_terminate_on_error=true",
    }
    assert float(environment["XLA_CLIENT_MEM_FRACTION"]) > PEAK_SHARE, "what a plan may fill"
    own = {"XLA_PYTHON_CLIENT_MEM_FRACTION": ".5"}
    own |= {"NCCL_DEBUG": "INFO", "XLA_FLAGS": "--xla_gpu_nccl_terminate_on_error=false --xla_a=1"}
    set_for_process(both := dict(own))
    assert both == own


def test_every_command_for_the_cluster_is_one_that_it_reads() -> None:
    texts = [*ROOT.glob("configs/*.py"), *ROOT.glob("docs/*.md"), ROOT / "README.md", SBATCH]
    lines = [x for t in texts for x in t.read_text().splitlines() if "h100_64.sbatch " in x]
    assert len(lines) >= 4
    for line in lines:
        given = line.split("h100_64.sbatch ")[1].split("#")[0].split()
        assert all(flag.startswith("--configs=configs/") for flag in given), line


@pytest.mark.parametrize("ends", ["saves", "dies of it", "is done"])
def test_a_group_that_is_signalled_says_75(tmp_path: Path, ends: str) -> None:
    """Whatever its training does then, and however often: srun may signal again."""
    shutil.copy(ROOT / "launch/group.py", tmp_path)
    status = {"saves": 75, "is done": 0}.get(ends)
    (tmp_path / "train.py").write_text(
        "import pathlib, signal, sys, time\n"
        + (f"signal.signal(15, lambda *_: sys.exit({status}))\n" if status is not None else "")
        + "pathlib.Path('begun').touch()\ntime.sleep(60)\n"
    )
    for name in "ab":
        (tmp_path / f"{name}.py").touch()
    with subprocess.Popen(
        [sys.executable, "group.py", "--configs=a.py,b.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as group:
        until = time.monotonic() + 60
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        shown = live.look(tmp_path / "runs").set_index("training")["state"]
        assert shown.to_dict() == {"a.py": "begun", "b.py": "not begun"}
        while group.poll() is None:
            group.terminate()
            time.sleep(0.01)
    assert group.returncode == 75
    shown = live.look(tmp_path / "runs").set_index("training")["state"]
    stopped = "stopped; the same command goes on"
    left = {} if ends == "is done" else {"a.py": stopped}
    assert shown.to_dict() == left | {"b.py": "not begun" if left else stopped}


@pytest.mark.slow
def test_a_group_goes_on_after_one_that_fails(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    small = "c.train.steps, c.model.width, c.model.layers = 9, 16, 1"
    for path, change in ((bad, "c.mesh.data = 3"), (good, "pass")):
        path.write_text(
            "from fusionjax.configs import demo\n\n\ndef get_config():\n    c = demo.get_config()\n"
            f"    c.name = {path.stem!r}\n    {small}\n    {change}\n    return c\n"
        )
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "launch/group.py"),
            f"--configs={bad},{good}",
            "--config.train.steps=3",
        ],  # of both
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, "of the one that failed"
    assert "bad.py: failed with status 2; going on" in done.stderr
    assert (tmp_path / "runs/good/seed_0/checkpoints/3").is_dir()
    shown = live.look(tmp_path / "runs").set_index("training")["state"]
    assert shown.to_dict() == {"good/seed_0": "done", str(bad): "failed with status 2"}
