"""Compiled programs are kept between starts, beside the runs, and never without bound."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from conftest import ROOT

from fusionjax.errors import InputError
from fusionjax.parallel import compile_cache


def test_a_folder_is_for_one_jaxlib_and_one_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = compile_cache.folder_for(tmp_path)
    assert here == compile_cache.folder_for(tmp_path)
    assert metadata.version("jaxlib") in here.name
    monkeypatch.setattr(compile_cache, "_cpu", lambda: ["model name : another", "flags : fpu"])
    assert compile_cache.folder_for(tmp_path) != here
    monkeypatch.undo()
    monkeypatch.setattr(metadata, "version", lambda name: "0.99.0")
    assert compile_cache.folder_for(tmp_path) != here


def test_what_was_written_first_goes_first(tmp_path: Path) -> None:
    for age, name in enumerate(("newest", "middle", "oldest")):
        path = tmp_path / f"{name}-cache"
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    (tmp_path / "notes.txt").write_bytes(bytes(1000))
    compile_cache.prune(tmp_path, 300)
    assert len(list(tmp_path.iterdir())) == 4
    compile_cache.prune(tmp_path, 299)
    assert {p.name for p in tmp_path.iterdir()} == {"newest-cache", "middle-cache", "notes.txt"}
    compile_cache.prune(tmp_path, 0)
    assert {p.name for p in tmp_path.iterdir()} == {"notes.txt"}, "only programs are deleted"


def test_a_cache_that_was_chosen_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "chosen")
    compile_cache.use(tmp_path / "other")
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "chosen"


def test_a_cache_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: .* cannot be kept there.*--compile_cache=FOLDER"):
        compile_cache.use(tmp_path / "file" / "compiled")
    monkeypatch.setattr(os, "access", lambda *_: False)  # a test may run as root, who may all
    with pytest.raises(InputError, match=f"{tmp_path}: compiled programs cannot be kept there"):
        compile_cache.use(tmp_path / "compiled")
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    monkeypatch.undo()


_PROGRAM = """
import sys
from pathlib import Path
from fusionjax.parallel import compile_cache
compile_cache.use(Path(sys.argv[1]))
import jax
events = {"requests": 0, "hits": 0}
def heard(name, **_):
    events["requests"] += name == "/jax/compilation_cache/compile_requests_use_cache"
    events["hits"] += name == "/jax/compilation_cache/cache_hits"
jax.monitoring.register_event_listener(heard)
print(jax.jit(lambda x: jax.numpy.sin(x) * 2)(1.0), file=sys.stderr)
print(events["requests"] - events["hits"])
"""


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    """Whatever it runs: the smallest program too is kept."""
    unset = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    environment["PYTHONPATH"] = str(ROOT)
    compiled = [
        int(
            subprocess.run(
                [sys.executable, "-c", _PROGRAM, str(tmp_path)],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for _ in range(2)
    ]
    assert compiled[0] > 0
    assert compiled[1] == 0
