"""What is looked at before the first step, where it is not as it should be."""

from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from fusionjax.config import MeshConfig, resolve
from fusionjax.configs import demo
from fusionjax.errors import InputError
from fusionjax.parallel import preflight, processes
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.run import Trainer

MESH = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])


def test_a_disk_that_is_too_small_is_refused_with_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = SimpleNamespace(total=10**12, used=0, free=250 * 10**9)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: free)
    (line,) = preflight.check(MESH, "{}", tmp_path / "run", 83 * 10**9, 2)
    assert "250 GB free" in line
    assert "a checkpoint has 83.0" in line
    with pytest.raises(InputError, match=r"250.0 GB free; 3 checkpoints and .* need 332.0"):
        preflight.check(MESH, "{}", tmp_path / "run", 83 * 10**9, 3)
    there = tmp_path / "run/seed_0/checkpoints/500/state/d"
    there.parent.mkdir(parents=True)
    with there.open("wb") as f:
        f.truncate(83 * 10**9)  # a run that goes on has its checkpoints
    assert preflight.check(MESH, "{}", tmp_path / "run", 83 * 10**9, 3)


def test_clocks_that_are_apart_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(preflight.check(MESH, "{}", tmp_path, 1, 1)) == 1
    monkeypatch.setattr(processes, "clock_skew", lambda: 40.0)
    said = preflight.check(MESH, "{}", tmp_path, 1, 1)
    assert "clocks are 40 s apart" in said[-1]


def test_each_process_tells_its_own_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*kinds: str) -> str:
        told = {}
        with monkeypatch.context() as m:
            m.setattr(jax, "local_devices", lambda: [SimpleNamespace(device_kind=k) for k in kinds])
            m.setattr(processes, "require_same", told.__setitem__)
            preflight.check(MESH, "{}", tmp_path, 1, 1)
        return told["device kind"]

    assert found("A100", "H100", "A100") == "A100, H100"
    ours, theirs = found("H100", "H100"), found("A100", "A100")
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes, "_gather", lambda value: [value, value.replace(ours, theirs)])
    with pytest.raises(InputError, match=r"same device kind:\n.*H100\n.*process 1 on .*: A100"):
        processes.require_same("device kind", ours)


def test_a_hang_in_it_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that answers nobody is met here first, before any step."""
    seen: list[str] = []
    monkeypatch.setattr(preflight, "check", lambda *a: seen.append("looks") or ["fine"])
    monkeypatch.setattr(
        processes.faulthandler, "dump_traceback_later", lambda s, **k: seen.append(f"{s:.0f} s")
    )
    monkeypatch.setattr(
        processes.faulthandler, "cancel_dump_traceback_later", lambda: seen.append("called off")
    )
    trainer = SimpleNamespace(
        program=SimpleNamespace(mesh=MESH, abstract_state={}),
        config=resolve(demo.get_config()),
        audit=SimpleNamespace(save=lambda folder: None),
    )
    Trainer.preflight(trainer, tmp_path)  # type: ignore[arg-type]
    assert seen == ["1800 s", "looks", "called off"]
