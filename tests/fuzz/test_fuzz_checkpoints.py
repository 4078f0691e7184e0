"""A damaged run folder gives a state that was saved, or is refused by name."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from damage import damaged
from hypothesis import given
from hypothesis import strategies as st
from watch import folder, fuzzed, judged

from fusionjax.config import resolve
from fusionjax.configs import demo
from fusionjax.data.windows import Scaler
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.run_info import RunInfo
from fusionjax.train.state import TrainState, fresh_guard

_STEPS = (1, 2)


def _state(step: int) -> TrainState:
    params = {"w": jnp.full((3, 2), float(step)), "b": jnp.arange(4.0) * step}
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        params=params,
        opt_state=(),
        weights_opt_state=(),
        ema_params=jax.tree.map(jnp.copy, params),
        guard=fresh_guard(resolve(demo.get_config()).guard),
    )


@functools.cache
def _run() -> tuple[Path, list[Path]]:
    """A run folder with two checkpoints, made once, and its files."""
    home = Path(tempfile.mkdtemp(prefix="fuzz-run-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    scaler = Scaler({"ret": 0.0}, {"ret": 1.0})
    info = RunInfo(resolve(demo.get_config()), "0" * 64, scaler, "2000-01-01", "2016-12-31", None)
    with Checkpoints(home, keep=2, create=True) as kept:
        for step in _STEPS:
            kept.save(step, _state(step), info)
    return home, sorted(p.relative_to(home) for p in home.rglob("*") if p.is_file())


@st.composite
def _deeds(draw: Callable, home: Path, files: list[Path]) -> list[tuple[Path, str, Any]]:
    """What is done to some files: their bytes changed, another's in their place, or none."""
    deeds = []
    for _ in range(draw(st.integers(0, 3))):
        file = draw(st.sampled_from(files))
        how = draw(st.sampled_from(["bytes", "bytes", "bytes", "gone", "folder", "other", "lost"]))
        if how == "bytes":
            deeds.append((file, how, draw(damaged([(home / file).read_bytes() or b"\0"]))))
        else:
            deeds.append((file, how, draw(st.sampled_from(files))))
    return deeds


def _do(root: Path, deeds: list[tuple[Path, str, Any]]) -> None:
    for file, how, what in deeds:
        path = root / file
        if not path.is_file():
            continue
        if how == "bytes":
            path.write_bytes(what)
        elif how == "other":
            path.write_bytes((_run()[0] / what).read_bytes())
        elif how == "lost":
            shutil.rmtree(path.parent, ignore_errors=True)
        else:
            path.unlink()
            if how == "folder":
                path.mkdir()


# Where one array cannot be read, tensorstore answers for the others after Orbax has stopped asking.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@fuzzed(25)
@given(st.data())
def test_checkpoints(data: st.DataObject) -> None:
    deeds = data.draw(_deeds(*_run()))
    with folder() as made:
        root = made / "seed_0"
        shutil.copytree(_run()[0], root)
        _do(root, deeds)

        def read() -> tuple[RunInfo, TrainState]:
            with Checkpoints(root) as kept:
                return kept.info(), kept.restore(_state(0))

        found = judged(read, root, str(root))
        if found is not None:
            info, state = found
            assert info.fingerprint == "0" * 64
            assert int(state.step) in _STEPS
            jax.tree.map(np.testing.assert_array_equal, state, _state(int(state.step)))
