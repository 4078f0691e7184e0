"""No two purposes of a run draw the same numbers, and neither do two seeds."""

import ast
import itertools
import re
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import ROOT

from fusionjax import streams

PACKAGE = ROOT / "fusionjax"


def purposes(path: Path) -> list[str]:
    """What a file draws for, as it tells ``streams``."""
    calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    takes = {f"streams.{f.__name__}" for f in (streams.generator, streams.key, streams.branch)}
    asked = [c for c in calls if ast.unparse(c.func) in takes | {"streams.sub_seed"}]
    return [ast.unparse(call.args[1]) for call in asked]


def test_every_purpose_has_a_name_of_its_own() -> None:
    names = [name for path in PACKAGE.rglob("*.py") for name in purposes(path)]
    assert len(names) > 15
    assert len(set(names)) == len(names)
    assert len({zlib.crc32(name.encode()) for name in names}) == len(names)


@pytest.mark.parametrize(
    "path", sorted({*PACKAGE.rglob("*.py")} - {PACKAGE / "streams.py"}), ids=str
)
def test_no_stream_is_begun_by_hand(path: Path) -> None:
    found = re.findall(r"default_rng\(|random\.(?:key|PRNGKey|seed)\(|Philox\(", path.read_text())
    assert not found, f"{path}: {found}; take fusionjax.streams, which keeps purposes apart"


def test_purposes_parts_and_seeds_are_told_apart() -> None:
    asked = [*itertools.product(range(4), ("batches", "replay"), range(3))]
    orders = [tuple(streams.generator(s, p, e).permutation(20)) for s, p, e in asked]
    assert len({*orders}) == len(asked)
    assert len({streams.sub_seed(s, p, e) for s, p, e in asked}) == len(asked)
    keys = [jax.random.key_data(streams.key(s, p)).tobytes() for s, p, _ in asked]
    assert len({*keys}) == len(asked) / 3
    plain = {jax.random.key_data(jax.random.key(s)).tobytes() for s in range(4)}
    assert not plain & {*keys}


def test_a_stream_is_the_same_in_every_version() -> None:
    assert streams.generator(3, "batches", 1).permutation(8).tolist() == [4, 7, 3, 2, 0, 5, 6, 1]
    assert streams.sub_seed(3, "update", 2) == 1282978510
    wanted = [2596390743, 3438412427]
    np.testing.assert_array_equal(jax.random.key_data(streams.key(3, "dropout")), wanted)
