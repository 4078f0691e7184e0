"""Checks the versions of Python and JAX from package metadata, before JAX is imported.

``python -m fusionjax.requirements`` checks Python only; make runs it before it installs.
"""

import re
import sys
from importlib import metadata

from fusionjax.errors import InputError

# Lowest supported and first unsupported version, as in pyproject.toml.
PYTHON = ((3, 11), (3, 15))
JAX = ((0, 10, 2), (0, 13))
# Must be of JAX's own release: JAX accepts some other pairs, but they are not tested here.
OF_JAX = ("jaxlib", *(f"jax-cuda{n}-{part}" for n in (12, 13) for part in ("plugin", "pjrt")))


def check() -> None:
    """Checks that this Python and the installed JAX are supported.

    Raises:
      InputError: see ``check_python`` and ``check_jax``.
    """
    check_python(sys.version_info[:3])
    check_jax({name: _version(name) for name in ("jax", *OF_JAX)})


def check_python(version: tuple[int, ...]) -> None:
    """Checks that a version of Python, such as (3, 11, 7), is supported.

    Raises:
      InputError: it is not.
    """
    if not PYTHON[0] <= version < PYTHON[1]:
        raise InputError(
            f"Python {_dotted(version)} is not supported: make the environment with Python "
            f"{_dotted(PYTHON[0])} to {PYTHON[1][0]}.{PYTHON[1][1] - 1}, "
            "such as make demo PYTHON=python3.13"
        )


def check_jax(versions: dict[str, str]) -> None:
    """Checks that the versions of JAX and its parts are supported.

    Args:
      versions: by package, of ``jax`` and ``OF_JAX``; empty or absent if not installed.

    Raises:
      InputError: JAX or jaxlib is not installed, is out of range, or a part is of another release.
    """
    oldest, below = map(_dotted, JAX)
    install = f'pip install "jax>={oldest},<{below}"'
    jax = versions.get("jax")
    if not jax:
        raise InputError(f"jax is not installed: {install}")
    if not JAX[0] <= _numbers(jax) < JAX[1]:
        raise InputError(f"jax {jax} is not supported, only {oldest} to below {below}: {install}")
    for part in OF_JAX:
        other = versions.get(part)
        if not other and part == "jaxlib":
            raise InputError(f"jaxlib is not installed: pip install jaxlib=={jax}")
        if other and other != jax:
            raise InputError(f"{part} {other} does not match jax {jax}: pip install {part}=={jax}")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    """0.12.0.1 and 0.13.0.dev1 as (0, 12, 0, 1) and (0, 13, 0)."""
    return tuple(map(int, re.findall(r"\d+", re.sub(r"[^\d.].*", "", version))))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


if __name__ == "__main__":
    try:
        check_python(sys.version_info[:3])
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
