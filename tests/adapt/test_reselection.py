"""A fine-tuning asks again: what later sessions say changes what is kept, and no forecast else."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import parents
import pytest
from conftest import seeing, small, tiny_market

from fusionjax.adapt.reselection import Past, Question
from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.windows import Scaler, Windows
from fusionjax.distill import evidence, weights
from fusionjax.distill.elimination import PLACEBOS, Rises
from fusionjax.distill.evidence import Evidence
from fusionjax.train.inference_fns import make_predict
from fusionjax.train.job import Run
from fusionjax.train.run import make_program
from fusionjax.train.state import init_state
from fusionjax.types import Batch, Targets, VectorInput

NAMES = ("a", "b", "c")


def config(**changes: object) -> Config:
    c = seeing({name: {"kind": "vector", "features": 3} for name in NAMES})
    alone = {"targets__returns__weight": 0.0, "targets__volatility__weight": 0.0}
    return small(c, Path(), **{"model__width": 8, "model__dropout": 0.0} | alone | changes)


def series(mean: float, sessions: int, seed: int) -> Evidence:
    """Of ten samples a session, with a standard deviation of 1 between sessions."""
    x = np.random.default_rng(seed).normal(size=sessions)
    x = (x - x.mean()) / x.std() + mean
    return Evidence(10 * x, 10 * x, np.full(sessions, 10.0))


def past(*means: float, state: tuple[str, ...] = ("kept", "kept", "dropped")) -> Past:
    known = {n: series(m, 200, i) for i, (n, m) in enumerate(zip(NAMES, means, strict=True))}
    return Past(dict(zip(NAMES, state, strict=True)), known, window=200)


ASKED = np.ones(3, bool)


def test_the_same_evidence_gives_the_same_answer() -> None:
    said = past(0.5, 0.3, 0.05).decide(config())
    assert said["state"] == {"a": "kept", "b": "kept", "c": "dropped"}
    assert said["kept"] == [1, 1, 0]
    np.testing.assert_allclose(said["earned"], [0.5, 0.3, 0.05], atol=1e-6)


def test_later_sessions_let_one_in_and_another_go_and_the_oldest_are_forgotten() -> None:
    later = [series(0.5, 150, 7), series(-0.2, 150, 8), series(0.4, 150, 9)]
    after = past(0.5, 0.3, 0.05).with_more(later, ASKED)
    assert {len(e) for e in after.known.values()} == {200}
    said = after.decide(config())
    assert said["state"] == {"a": "kept", "b": "dropped", "c": "kept"}
    assert said["before"] == {"a": "kept", "b": "kept", "c": "dropped"}
    few = [series(0.4, 5, i) for i in range(3)]
    still = past(0.5, 0.3, 0.05).with_more(few, ASKED).decide(config())
    assert still["kept"] == [1, 1, 0], "five sessions of 200 do not turn it"


@pytest.mark.parametrize(("sessions", "now"), [(11, "waiting"), (12, "kept")])
def test_one_that_waits_comes_in_once_there_are_days_enough(sessions: int, now: str) -> None:
    """Twelve, where labels are of one session: ``elimination.least_sessions``."""
    young = past(0.5, 0.3, 0.0, state=("kept", "kept", "waiting"))
    young.known["c"] = evidence.NOTHING
    late = Evidence(*np.array([[50.0, 40.0] * 10, [50.0, 40.0] * 10, [10.0] * 20])[:, :sessions])
    nobody = evidence.NOTHING
    said = young.with_more([nobody, nobody, late], np.array([False, False, True])).decide(config())
    assert said["state"] == {"a": "kept", "b": "kept", "c": now}
    unasked = young.with_more([nobody, nobody, late], np.zeros(3, bool)).decide(config())
    assert unasked["state"]["c"] == "waiting", "its encoder has hardly seen it"


def test_what_is_forced_stays_and_the_last_one_too() -> None:
    bad = past(-0.1, -0.5, -0.3)
    said = bad.decide(config(distill__keep=("b",)))
    assert said["state"] == {"a": "dropped", "b": "forced", "c": "dropped"}
    assert said["kept"] == [0, 1, 0]
    assert bad.decide(config())["kept"] == [1, 0, 0]


def test_a_record_is_read_back_and_one_without_evidence_is_none(tmp_path: Path) -> None:
    assert Past.read(tmp_path) is None
    said = past(0.5, 0.3, 0.05).decide(config())
    (tmp_path / "fusion.json").write_text(json.dumps(said))
    again = Past.read(tmp_path)
    assert again is not None
    assert again.decide(config())["state"] == said["state"]
    (tmp_path / "fusion.json").write_text('{"kept": [1, 1, 0]}')  # of an earlier version
    assert Past.read(tmp_path) is None


def test_evidence_is_summed_by_session() -> None:
    rises = Rises(*np.array([[[1.0, 2, 3, 4]] * 2, [[0.0, 1, 0, 1]] * 2]))
    first, _ = evidence.by_session(rises, np.array([0, 0, 0, 1]))
    assert [first.without.tolist(), first.earned.tolist()] == [[6, 4], [1, 1]]
    assert first.samples.tolist() == [3, 1]


def batch() -> Batch:
    rng = np.random.default_rng(0)
    none = np.zeros((8, 1), np.float32)
    targets = {"direction": none.astype(np.int32), "returns": none, "volatility": none}
    return Batch(
        inputs={n: VectorInput(rng.normal(size=(8, 3)).astype(np.float32)) for n in NAMES},
        present={n: np.ones(8, bool) for n in NAMES},
        targets=Targets(targets, {n: np.zeros((8, 1), bool) for n in targets}),
        log_scale=np.zeros(8, np.float32),
        weight=np.ones(8, np.float32),
        sample_id=np.arange(8, dtype=np.int32),
    )


def test_who_comes_back_speaks_through_its_expert_alone() -> None:
    """Silencing changes no forecast; b comes in with weight 1, a goes, exactly."""
    c = config(targets__returns__horizons=(1,))
    rng = np.random.default_rng(1)
    params = jax.jit(partial(init_state, c))(np.uint32(0), batch()).params
    params = jax.tree.map(lambda x: np.asarray(x + rng.normal(0, 0.3, x.shape), np.float32), params)
    dropped = {"kept": np.array([1, 0, 1], np.float32), "presence": np.array([0.9, 0, 0.8])}
    params = weights.with_fusion(params, **dropped)
    predict = jax.jit(make_predict(c))
    silenced = weights.silenced(params)
    before, after = (predict(p, batch()).outcome["direction"] for p in (params, silenced))
    np.testing.assert_array_equal(before, after)
    kernel = np.asarray(silenced["fusion"]["mlp_in"]["kernel"])
    assert not kernel[8:16].any(), "what b's features once did"
    assert kernel[:8].any(1).all()
    assert kernel[16:].any(1).all()
    new = weights.with_kept(silenced, jnp.array([0, 1, 1.0]), jnp.array([0.3, 0.4, 0.5]))
    np.testing.assert_allclose(new["fusion"]["presence"], [0, 0.4, 0.8])
    beta = np.asarray(weights.get(new)["modality"])
    was = np.asarray(weights.get(silenced)["modality"])
    assert beta.tolist() == [was[0], 0, was[2]]
    assert predict(new, batch()).modality_weight[0].tolist()[:2] == [0, 1]
    other = batch()
    other.inputs["a"] = VectorInput(other.inputs["a"].x + 1)
    a, b = (predict(new, x).outcome["direction"] for x in (batch(), other))
    np.testing.assert_array_equal(a, b)


def test_placebos_of_few_sessions_are_rows_of_the_parent() -> None:
    """Of three sessions of four stocks, another row would be of the same day."""
    market, c = tiny_market(days=60, symbols=("AA", "BB", "CC", "DD")), parents.config()
    day = np.unique(market.session)
    windows = Windows(market, c, Scaler.fit(market, day[40]))
    run = Run(c, windows, make_program(c, parents.MESH, windows))
    old = samples.between(market, c, day[0], day[50])
    for sessions, eldest in ((3, 12 * PLACEBOS), (PLACEBOS + 1, 0)):
        new = samples.between(market, c, day[51], day[50 + sessions])
        rows, fresh = Question(run, new, old, np.zeros(2, bool))._rows()
        assert (fresh.sum(), (~fresh).sum()) == (4 * sessions, min(eldest, len(old)))
        assert (np.diff(rows.target_day) >= np.timedelta64(0)).all()
        at = np.flatnonzero(fresh)
        for i in range(1, PLACEBOS + 1):
            donor = np.roll(np.arange(len(rows)), i * len(rows) // (PLACEBOS + 1))[at]
            assert (rows.target_day[donor] != rows.target_day[at]).all()
