"""What ``pip install`` brings: one command, the package with its configs, and nothing beside it."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

import fusionjax

# Of a checkout, what is for nobody but git, CI and this machine.
HERE_ALONE = ("build", "dist", "prepared", "runs", "planted_market", "fuzz_failures")


def sources() -> list[str]:
    """The files of the checkout by their paths, without hidden and made ones."""
    found = []
    for top in ROOT.iterdir():
        if top.name.startswith(".") or top.name in HERE_ALONE or top.suffix == ".egg-info":
            continue
        files = [top] if top.is_file() else [p for p in top.rglob("*") if p.is_file()]
        found += [str(p.relative_to(ROOT)) for p in files if "__pycache__" not in p.parts]
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed, built from an sdist of a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in sources():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
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
    package = {name for name in sources() if name.startswith("fusionjax/")}
    (metadata,) = (installed / f"fusionjax-{fusionjax.__version__}.dist-info").glob("METADATA")
    assert f"\nVersion: {fusionjax.__version__}\n" in metadata.read_text()
    assert package <= set(names), "templates, configs and py.typed included"


@pytest.mark.slow
def test_tests_run_from_the_sdist(installed: Path, tmp_path: Path) -> None:
    """Those that read files of all kinds; conda-forge's recipes run tests from there."""
    (archive,) = (installed.parent / "source").glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {n.partition("/")[2] for n in packed.getnames()}
        packed.extractall(tmp_path, filter="data")
    assert set(sources()) <= names
    (unpacked,) = tmp_path.iterdir()
    chosen = ["house", "imports", "architecture", "documented_commands", "requirements"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(f"tests/test_{x}.py" for x in chosen)],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


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
