"""Collects in one folder what a GPU machine without network needs beside a checkout.

make gpu-kit        # build/gpu: wheels/ for Python 3.12 on Linux x86-64, market/ and prepared/

There, in the checkout's root, where Python 3.12 has jax[cuda12] or jax[cuda13]:
  python3 -m pip install --no-index --no-deps --target /tmp/site build/gpu/wheels/*.whl
  PYTHONPATH=/tmp/site python3 benchmarks/gpu.py

The versions are those of requirements.lock. The machine needs the packages of an image with JAX,
PyTorch and pandas (``PROVIDED``): pyarrow alone would fill the limit. Packages that decode media,
embed texts (the market comes decoded and embedded) or make reports are left out.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.markers import Marker

from fusionjax.config import resolve
from fusionjax.configs import h100_1
from fusionjax.errors import InputError
from gpu_items.bench import ROOT, Bench
from gpu_items.configs import SESSIONS, as_flags, market

# What the package imports for the measurements, and what these import; of flax, optax, orbax and
# pandas the machine may have others, with which nothing was tested.
WHEELS = (
    *("array-record", "clu", "dacite", "dm-tree", "docstring-parser", "exchange-calendars"),
    *("arch", "flax", "googleapis-common-protos", "grain", "immutabledict", "importlib-resources"),
    *("korean-lunar-calendar", "lightgbm", "ml-collections", "optax", "orbax-checkpoint"),
    *(
        "pandas",
        "portpicker",
        "promise",
        "protobuf",
        "pyluach",
        "river",
        "simple-parsing",
        "tensorboardx",
    ),
    *("tensorflow-datasets", "tensorflow-metadata", "termcolor", "toml", "tzdata"),
)
# JAX's own needs and these are not carried.
PROVIDED = (
    *("absl-py", "aiofiles", "attrs", "cloudpickle", "einops", "etils", "fsspec", "humanize"),
    *("jinja2", "jaxtyping", "matplotlib", "msgpack", "packaging", "prometheus-client"),
    *("psutil", "pyarrow", "python-dateutil", "pyyaml", "requests", "rich", "scikit-learn"),
    *("simplejson", "six", "statsmodels", "tensorstore", "toolz", "tqdm", "treescope"),
    *("typing-extensions", "uvloop", "wrapt", "zipp"),
)
SOURCE_ONLY = ("promise",)  # no wheel is published; pure Python
LIMIT = 64 * 2**20  # bytes of all that is carried
_PYTHON = {
    "python_version": "3.12",
    "python_full_version": "3.12.3",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
}
_PLATFORMS = ("manylinux2014_x86_64", *(f"manylinux_2_{n}_x86_64" for n in range(17, 40)))


def main() -> None:
    folder = ROOT / "build/gpu"
    if {*WHEELS} & {*PROVIDED}:
        raise InputError("benchmarks/gpu_kit.py: a package is in both WHEELS and PROVIDED")
    collect(folder / "wheels")
    for rehearse in (False, True):
        plant(folder, rehearse)
    sizes = {part: size(folder / part) for part in ("wheels", "market", "prepared")}
    print(", ".join(f"{part} {n / 2**20:.1f} MiB" for part, n in sizes.items()))
    total = sum(sizes.values())
    print(f"{folder.relative_to(ROOT)}: {total / 2**20:.1f} of {LIMIT / 2**20:.0f} MiB")
    if total > LIMIT:
        raise InputError(f"build/gpu has {total / 2**20:.1f} MiB: carry fewer (WHEELS, SESSIONS)")


def collect(folder: Path) -> None:
    """Downloads the wheels, checked by the lock's hashes; one version of each stays."""
    lock = locked((ROOT / "requirements.lock").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    options = [*("--dest", str(folder)), "--only-binary=:all:", "--python-version=3.12"]
    options += ["--implementation=cp", *(f"--platform={p}" for p in _PLATFORMS)]
    pip("download", [lock[name] for name in WHEELS if name not in SOURCE_ONLY], options)
    pip("wheel", [lock[name] for name in SOURCE_ONLY], ["--wheel-dir", str(folder)])


def locked(text: str) -> dict[str, str]:
    """The lock's requirement of each package with its hashes, for the kit's Python."""
    requirements = {}
    for block in re.split(r"\n(?=[a-z0-9])", text):
        requirement, _, hashes = block.partition(" \\\n")
        pinned, _, marker = requirement.partition(" ; ")
        if not marker or Marker(marker).evaluate(_PYTHON):
            lines = [line for line in hashes.splitlines() if "--hash" in line]
            requirements[pinned.split("==")[0]] = " \\\n".join(
                [pinned, *(x.rstrip(" \\") for x in lines)]
            )
    return requirements


def pip(command: str, requirements: list[str], flags: list[str]) -> None:
    """One of pip's commands on pinned requirements, without what they need.

    Raises:
      InputError: it failed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.write("\n".join(requirements) + "\n")
        f.flush()
        base = [sys.executable, "-m", "pip", command, "--quiet", "--no-deps", "--require-hashes"]
        ended = subprocess.run([*base, *flags, "-r", f.name], check=False)
    if ended.returncode:
        raise InputError(f"pip {command} failed: status {ended.returncode}; its message is above")


def plant(folder: Path, rehearse: bool) -> None:
    """Writes the market's raw files and prepares them at full or at toy lengths."""
    bench = Bench(rehearse, folder / "unused", folder, 0.0)
    changes = market(bench, resolve(h100_1.get_config()))
    if not (folder / "market/bars.parquet").exists():
        bench.launch("studies/plant", "h100_1", *as_flags(changes), f"--sessions={SESSIONS}")
    bench.launch("prepare", "h100_1", *as_flags(changes))


def size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


if __name__ == "__main__":
    try:
        main()
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
