"""What an operator submits: run here with stand-ins for the cluster's own commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from configs import h100_1, h100_8, h100_64, h100_1024
from fusionjax.config import resolve
from fusionjax.parallel import processes
from fusionjax.parallel.mesh import device_count
from fusionjax.parallel.xla_flags import NCCL, XLA_GPU

SBATCH = ROOT / "launch/slurm/h100_64.sbatch"


def options(script: Path) -> dict[str, str]:
    lines = [x for x in script.read_text().splitlines() if x.startswith("#SBATCH --")]
    named = (x.removeprefix("#SBATCH --").partition("=") for x in lines)
    return {name: value for name, _, value in named}


@pytest.mark.parametrize(("status", "requeued"), [(0, False), (75, True), (1, False)])
def test_the_batch_script_requeues_what_was_preempted(
    tmp_path: Path, status: int, requeued: bool
) -> None:
    for name, body in {
        "srun": f'(echo "$@"; echo "$JAX_COMPILATION_CACHE_DIR") > srun.log; exit {status}',
        "scontrol": 'echo "$@" > scontrol.log',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "42"}
    env.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run(["bash", str(SBATCH)], cwd=tmp_path, env=env, check=False)
    assert done.returncode == status
    asked, cache = (tmp_path / "srun.log").read_text().splitlines()
    assert asked.endswith(".venv-cluster/bin/python launch/group.py --configs=configs/h100_64.py")
    assert cache == f"{tmp_path}/runs/compiled"
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

    ours = " ".join(f"--{f.name}={str(f.value).lower()}" for f in XLA_GPU)
    done = starts(ours)
    assert done.returncode == 0, done.stderr
    assert starts("--xla_gpu_no_such_flag=true").returncode != 0
    for flag in (*XLA_GPU, *NCCL):
        assert flag.reason
        assert flag.source


@pytest.mark.slow
def test_a_group_goes_on_after_one_that_fails(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    small = "c.train.steps, c.model.width, c.model.layers = 3, 16, 1"
    for path, change in ((bad, "c.mesh.data = 3"), (good, "pass")):
        path.write_text(
            "from configs import demo\n\n\ndef get_config():\n    c = demo.get_config()\n"
            f"    c.name = {path.stem!r}\n    {small}\n    {change}\n    return c\n"
        )
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch/group.py"), f"--configs={bad},{good}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, "of the one that failed"
    assert "bad.py: failed with status 2; going on" in done.stderr
    assert (tmp_path / "runs/good/seed_0/checkpoints/3").is_dir()
