"""What pip would install for all extras together, with each CUDA: ``make check-installs``.

Not collected by its name: it needs the package index, and more than a minute a CUDA.
"""

import json
import subprocess
import sys

import pytest
from packaging.utils import canonicalize_name
from test_installs import CUDA, EXTRAS, PROJECT, UNWANTED, second_cuda

DRY_RUN = (*(sys.executable, "-m", "pip", "install"), "--dry-run", "--ignore-installed", "--quiet")


@pytest.fixture(scope="module", autouse=True)
def _index() -> None:
    reached = subprocess.run([*DRY_RUN, "--no-deps", "einops"], capture_output=True, check=False)
    if reached.returncode:
        pytest.skip("the package index cannot be reached")


@pytest.mark.parametrize("cuda", sorted(CUDA))
def test_pip_would_bring_neither_pytorch_nor_two_cudas(cuda: str) -> None:
    asked = [EXTRAS[e] for e in EXTRAS if e == cuda or e not in CUDA]
    wanted = PROJECT["dependencies"] + [r for requirements in asked for r in requirements]
    command = [*DRY_RUN, "--report", "-", *wanted]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = {canonicalize_name(x["metadata"]["name"]) for x in json.loads(report)["install"]}
    assert any(n.startswith("nvidia-") for n in names)
    assert not names & UNWANTED
    assert not second_cuda(names)
