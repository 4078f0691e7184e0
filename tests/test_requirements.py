"""A Python or JAX that the package does not run on: one sentence, before anything is imported."""

import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT

from fusionjax import requirements
from fusionjax.errors import InputError
from fusionjax.requirements import OF_JAX


def ranges(declared: dict) -> tuple[tuple, tuple]:
    """Of Python and of jax, as pyproject.toml has them."""
    (jax,) = (x for x in declared["dependencies"] if re.match(r"jax\b[><=]", x))
    texts = (
        re.fullmatch(r"(?:jax)?>=([\d.]+),<([\d.]+)", x) for x in (declared["requires-python"], jax)
    )
    return tuple(tuple(tuple(map(int, n.split("."))) for n in t.groups()) for t in texts)  # type: ignore


def test_ranges_are_those_that_pip_is_told() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert ranges(declared) == (requirements.PYTHON, requirements.JAX)


def test_what_is_installed_here_is_supported() -> None:
    requirements.check()


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 1), (3, 13, 0), (3, 14, 9)])
def test_supported_pythons(version: tuple) -> None:
    requirements.check_python(version)


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 15, 0), (2, 7, 18), (4, 0, 0)])
def test_another_python_is_told_which_to_take(version: tuple) -> None:
    with pytest.raises(
        InputError, match=rf"Python {version[0]}\.{version[1]}\.\d+ is not supported"
    ) as e:
        requirements.check_python(version)
    assert "Python 3.11 to 3.14" in str(e.value)
    assert "make demo PYTHON=python3.13" in str(e.value)


@pytest.mark.parametrize(
    "version", ["0.10.2", "0.11.0", "0.12.0.1", "0.12.3", "0.12.1.dev20261101"]
)
def test_supported_jax(version: str) -> None:
    requirements.check_jax({"jax": version, "jaxlib": version})
    requirements.check_jax({"jax": version, "jaxlib": version, "jax-cuda13-plugin": version})


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({}, "jax is not installed: pip install"),
        (
            {"jax": "0.10.1", "jaxlib": "0.10.1"},
            "jax 0.10.1 is not supported, only 0.10.2 to below",
        ),
        ({"jax": "0.4.38", "jaxlib": "0.4.38"}, "jax 0.4.38 is not supported"),
        ({"jax": "0.13.0", "jaxlib": "0.13.0"}, 'pip install "jax>=0.10.2,<0.13"'),
        ({"jax": "0.13.0.dev1", "jaxlib": "0.13.0.dev1"}, "jax 0.13.0.dev1 is not supported"),
        ({"jax": "0.12.0"}, "jaxlib is not installed: pip install jaxlib==0.12.0"),
        ({"jax": "0.12.0", "jaxlib": "0.11.2"}, "jaxlib 0.11.2 does not match jax 0.12.0"),
        ({"jax": "0.12.0", "jaxlib": "0.12.0.1"}, "pip install jaxlib==0.12.0"),
        (
            {"jax": "0.12.0", "jaxlib": "0.12.0", "jax-cuda12-plugin": "0.11.2"},
            "pip install jax-cuda12-plugin==0.12.0",
        ),
    ],
)
def test_another_jax_is_told_what_to_install(versions: dict, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)) as e:
        requirements.check_jax(versions)
    assert "\n" not in str(e.value)


def test_every_command_asks_first(tmp_path: Path) -> None:
    """With a jaxlib whose metadata are of another release."""
    stale = tmp_path / "jaxlib-0.1.dist-info"
    stale.mkdir()
    (stale / "METADATA").write_text("Metadata-Version: 2.1\nName: jaxlib\nVersion: 0.1\n")
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch/predict.py")],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(
        r"error: jaxlib 0\.1 does not match jax [\d.]+: pip install .*\n", done.stderr
    )


def test_an_old_python_is_told_before_anything_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    monkeypatch.delitem(sys.modules, "fusionjax.requirements")
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("fusionjax.requirements", run_name="__main__")
    assert capsys.readouterr().err.startswith("error: Python 3.10.13 is not supported")


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-cuda12.lock"])
def test_a_lock_has_supported_pairs_and_nothing_that_was_not_asked_for(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text, "no index, which differs from machine to machine"
    pins = re.findall(r"^([\w.-]+)==(\S+)(?: ; (.*?))? \\$", text, re.MULTILINE)
    assert not {name for name, *_ in pins if re.match(r"torch|.*cu13|.*cuda13", name)}
    of_jax = [(name, version, when) for name, version, when in pins if name in ("jax", *OF_JAX)]
    for when in ("python_full_version < '3.12'", "python_full_version >= '3.12'"):
        together = {name: version for name, version, marker in of_jax if marker == when}
        assert set(together) >= {"jax", "jaxlib"}
        assert ("jax-cuda12-plugin" in together) == ("cuda12" in lock)
        requirements.check_jax(together)
    assert len(pins) == len(re.findall(r"^\S", text, re.MULTILINE))
