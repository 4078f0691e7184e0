"""Variants differ in what they say they change; their losses are by hand; the first is the zero."""

import jax
import numpy as np
import pytest
from conftest import tiny_market
from parents import MESH, config

from fusionjax.config import ModelConfig
from fusionjax.data import audit, samples
from fusionjax.evaluate.inference import Prediction
from fusionjax.modalities.numeric import Numeric
from fusionjax.types import Series
from studies.fusion import LEVEL_VARIANTS, levels


def test_every_variant_changes_the_config_and_no_two_alike() -> None:
    c = config(model__dropout=0.3)
    made = [levels.changed(c, v) for v in LEVEL_VARIANTS]
    assert made[1] == c, "the config has the linear map"
    kinds = [[type(m) for m in x.modalities.values()] for x in made]
    assert len({(x.to_json(), str(k)) for x, k in zip(made, kinds, strict=True)}) == len(made)
    raw = [v for v, k in zip(LEVEL_VARIANTS, kinds, strict=True) if levels.Raw in k]
    assert raw == ["no instance normalisation", "linear map, no instance normalisation"]


def test_without_instance_normalisation_patches_show_the_level() -> None:
    """A window and the same one a level higher differ in their patches, not only in statistics."""
    x = np.random.default_rng(0).normal(size=(1, 8, 1)).astype(np.float32)
    both = Series(np.concatenate([x, x + 3]), np.ones((2, 8), bool))
    model, patches = ModelConfig(width=8, layers=0), []
    for kind in (Numeric, levels.Raw):
        encoder = kind("numeric", ("vol20",), sessions=8, patch=4).encoder(model, True)
        tokens = jax.jit(lambda b, e=encoder: e.init_with_output(jax.random.key(0), b)[0].x)(both)
        patches.append(np.abs(tokens[0, 1:] - tokens[1, 1:]).max())
    assert patches[0] < 1e-3 < 0.1 < patches[1]


def test_pinball_by_hand() -> None:
    c = config()
    scored = samples.split(tiny_market(days=260), c, "live")
    count, q = len(scored), c.targets["returns"].quantiles
    value = {
        "direction": np.full((count, 1), 0.5, np.float32),
        "returns": np.zeros((count, 1, len(q)), np.float32),
        "volatility": np.zeros((count, 1), np.float32),
    }
    losses = levels._losses(Prediction(value, np.ones((count, 2))), scored, c)
    y = scored.targets.label["returns"][:, 0].astype(float)
    expected = [np.mean([max(p * r, (p - 1) * r) for p in q]) for r in y]
    np.testing.assert_allclose(losses["pinball, 1e-4"], 1e4 * np.array(expected), rtol=1e-6)
    np.testing.assert_allclose(losses["log loss of direction"], np.log(2), rtol=1e-6)


@pytest.mark.slow
def test_rows_are_paired_with_the_first() -> None:
    c = config(train__steps=6, train__warmup_steps=2)
    market = tiny_market(days=260)
    rows = [*levels.rows(market, audit.audit(market, c), c, MESH, LEVEL_VARIANTS[:2])]
    assert [r.variant for r in rows] == [*LEVEL_VARIANTS[:2]]
    loss = "squared error of log volatility"
    assert rows[0].rise[loss][0] == 0
    assert len(rows[1].seeds[loss]) == 5
    apart = np.mean(rows[1].seeds[loss]) - np.mean(rows[0].seeds[loss])
    by, low, high = rows[1].rise[loss]
    np.testing.assert_allclose(by, apart, rtol=1e-4)
    assert low < by < high
    assert np.isinf(low), "so few days are not enough for labels of five sessions"
    assert f"| {by:+.4f} (too few days) |" in str(rows[1])
    assert rows[0].header.count("|") == 2 * str(rows[1]).count("|") == 2 * 11
