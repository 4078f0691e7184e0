"""What ``pip install`` brings: one command, the package with its configs, and nothing beside it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

import fusionjax

TOP = ("fusionjax", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed, built from an sdist of a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    for name in TOP:
        copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copied(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    sdist = "from setuptools import build_meta; print(build_meta.build_sdist('.'))"
    made = subprocess.run(
        [sys.executable, "-c", sdist], cwd=folder / "source", check=True, stdout=subprocess.PIPE
    )
    archive = folder / "source" / made.stdout.decode().split()[-1]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "built", str(archive)]
    install = ["install", "--no-deps", "--no-index", "--target", "installed"]
    subprocess.run([*pip, *build], cwd=folder, check=True)
    (wheel,) = (folder / "built").glob("*.whl")
    subprocess.run([*pip, *install, str(wheel)], cwd=folder, check=True)
    return folder / "installed"


def run(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(installed / "bin/fusionjax"), *words],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_holds_the_package_and_nothing_beside_it(installed: Path) -> None:
    (wheel,) = (installed.parent / "built").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0].partition("-")[0] for n in names} == {"fusionjax"}
    tracked = subprocess.run(
        ["git", "ls-files", "fusionjax"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    (metadata,) = (installed / f"fusionjax-{fusionjax.__version__}.dist-info").glob("METADATA")
    assert f"\nVersion: {fusionjax.__version__}\n" in metadata.read_text()
    assert set(tracked) <= set(names), "templates, configs and py.typed included"


def test_the_command_knows_its_configs_without_a_checkout(installed: Path) -> None:
    told = run(installed, "--help")
    assert told.returncode == 0
    assert "train     Trains a config, or resumes a training that was stopped." in told.stdout
    assert "demo, h100_1, h100_1024, h100_64" in told.stdout
    asked = run(installed, "config", "--config=h100_64")
    assert 'name: was "base", now "h100_64"' in asked.stdout
    by_path = run(installed, "config", "--config=configs/h100_64.py")
    assert by_path.stdout == asked.stdout, "as the README writes it"
    assert run(installed, "--version").stdout == f"fusionjax {fusionjax.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no command 'trian'; did you mean 'train'?; fusionjax --help lists them"),
        (["train"], "--config is missing; for example --config=demo"),
        (["train", "--config=dema"], "dema"),
        (["config", "--explain=stepz"], "no section, key or kind; did you mean 'steps'?"),
        (["config"], "give --config, --explain=SECTION or --diff=RUN twice"),
        (["config", "--diff=runs/a"], "--diff was given 1 time(s); expected two run folders"),
        (["config", "--config=demo", "--copy=source"], "--copy=source: exists already"),
        (["predict", "--run=nowhere"], "nowhere: no run here"),
    ],
)
def test_a_mistake_is_one_sentence(installed: Path, words: list[str], message: str) -> None:
    done = run(installed, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_config_is_copied_to_be_changed(installed: Path) -> None:
    done = run(installed, "config", "--config=demo", "--copy=mine.py")
    assert done.stdout == "written to mine.py\nnext: fusionjax train --config=mine.py\n"
    changed = run(installed, "config", "--config=mine.py", "--config.train.steps=7")
    assert "train.steps: was 400, now 7" in changed.stdout
