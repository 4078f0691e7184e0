"""The price of the fusion's weights by hand, and what decides whether they move at all."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TINY, seeing, small

from fusionjax.config import Config
from fusionjax.distill import weights


def config(**changes: object) -> Config:
    return small(
        seeing(TINY),
        Path(),
        distill__modality_penalty=0.1,
        distill__prior_strength=4.0,
        **changes,
    )


def phi(**changes: object) -> dict[str, Any]:
    """Of two modalities with three quality features."""
    start = {
        "modality": np.zeros(2),
        "rater": np.zeros((2, 3)),
        "joint": 0.0,
    }
    return {k: jnp.asarray(v, jnp.float32) for k, v in (start | changes).items()}


# Two modalities of half the full weight: 0.1·2·½.
START = 0.1


def test_plain_fusion_pays_for_its_weights_and_has_no_prior_to_pay() -> None:
    np.testing.assert_allclose(weights.penalty(phi(), config().distill, 10.0), START, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "prior"),
    [
        ({"rater": np.full((2, 3), 2.0)}, 6 * 4 / 2),
        ({"joint": 4.0}, 16 / 8),
    ],
)
def test_the_prior_by_hand(changes: dict[str, Any], prior: float) -> None:
    """Strength 4 over 8 sessions: half of it; over none: all of 4."""
    for sessions, strength in ((8.0, 0.5), (0.0, 4.0)):
        np.testing.assert_allclose(
            weights.penalty(phi(**changes), config().distill, sessions),
            START + strength * prior,
            rtol=1e-6,
        )


def test_a_weight_pays_its_cost_and_its_distance() -> None:
    three = np.log(3.0)
    np.testing.assert_allclose(  # σ(ln 3) = ¾, so weights of 1.5 and 1
        weights.penalty(phi(modality=[three, 0]), config().distill, 4.0),
        0.1 * 1.25 + three**2 / 8,
        rtol=1e-6,
    )


def test_only_what_is_to_be_learned_has_a_gradient() -> None:
    grads = {k: jnp.ones_like(v) for k, v in phi().items()}

    def passed(c: Config) -> set[str]:
        return {k for k, v in weights.only_learned(grads, c.distill).items() if v.any()}

    assert passed(config()) == {"modality", "rater", "joint"}
    assert passed(config(distill__learned=("rater", "feature"))) == {"rater"}


def test_what_is_weighed_anew_keeps_its_rater() -> None:
    new = weights.reset(phi(modality=[1, 2], rater=np.full((2, 3), 3.0), joint=4.0))
    assert new["rater"].tolist() == [[3.0] * 3] * 2
    assert not new["modality"].any()
    assert not new["joint"].any()


@pytest.mark.parametrize(("warmup", "before"), [(0, 7), (10, 12), (14, 14), (100, 14)])
def test_modalities_are_dropped_before_the_refit_phase_begins(warmup: int, before: int) -> None:
    c = config(train__steps=20, distill__warmup_steps=warmup)
    assert weights.elimination_step(c) == before <= weights.refit_start(c) == 14


def test_who_has_a_meta_set() -> None:
    assert weights.has_meta_set(config())
    assert not weights.has_meta_set(config(distill__refit_fraction=1.0))
    assert not weights.has_meta_set(config(model__fusion="concat"))


def test_the_weights_are_taken_out_and_put_back() -> None:
    params = {"fusion": {"weights": 1, "kept": 2}, "encoders_a": 3}
    assert weights.get(params) == 1
    assert weights.put(params, 9) == {"fusion": {"weights": 9, "kept": 2}, "encoders_a": 3}
    assert params["fusion"]["weights"] == 1
