"""Updates that must not be made: by hand, then in the real step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import SP500, seeing

from fusionjax.config import GuardConfig, resolve
from fusionjax.train import guards
from fusionjax.train.state import Guard, fresh_guard


def config(**changes: object) -> GuardConfig:
    asked = {f"guard.{k}": v for k, v in ({"window": 4} | changes).items()}
    return dataclasses.replace(resolve(with_one_modality()).override(asked).guard)


def with_one_modality() -> object:
    return seeing(SP500)


judge = jax.jit(guards.judge, static_argnums=4)


def told(c: GuardConfig, norms: list[float], losses: list[float] | None = None) -> list[tuple]:
    guard = fresh_guard(c)
    out = []
    for norm, loss in zip(norms, losses or [1.0] * len(norms), strict=True):
        finite = np.isfinite([norm, loss]).all()
        guard, moves, takes = judge(guard, np.float32(loss), np.float32(norm), finite, c)
        out.append((bool(moves), bool(takes), guard))
    return out


def test_a_spike_is_skipped_once_there_is_a_yardstick() -> None:
    seen = told(config(), [1, 1, 1, 100, 1, 1, 100, 1])
    # The first 100 comes when only three are known; the second is beyond all deviations.
    assert [takes for _, takes, _ in seen] == [True] * 6 + [False, True]
    assert all(moves for moves, _, _ in seen), "a skipped update is a step all the same"
    assert int(seen[-1][2].skipped) == 1


def test_what_is_skipped_in_a_row_is_capped_and_a_new_level_is_learned() -> None:
    seen = told(config(max_consecutive_skips=2, window=8), [1] * 8 + [100] * 12)
    taken = [takes for _, takes, _ in seen[8:]]
    # Two of three are skipped until most of the window is of the new level.
    assert taken == [False, False, True, False, True, True, True, True, True, True, True, True]


def test_nothing_is_skipped_where_the_threshold_is_zero() -> None:
    assert all(takes for _, takes, _ in told(config(grad_norm_zscore=0.0), [1] * 8 + [1e9]))


def test_a_nonfinite_value_stops_everything_until_the_host_frees_it() -> None:
    seen = told(config(), [1, 1, np.nan, 1], [1, 2, 3, 4])
    assert [moves for moves, _, _ in seen] == [True, True, False, False]
    guard: Guard = seen[-1][2]
    assert bool(guard.halted)
    assert int(guard.count) == 2
    np.testing.assert_array_equal(guard.losses, [1, 2, 0, 0])
    freed = guards.after_rollback(guard, 0.5)
    assert (bool(freed.halted), float(freed.rate), int(freed.count)) == (False, 0.5, 0)


def test_counters_follow_the_steps_and_the_rest_the_updates() -> None:
    new = {"count": jnp.int32(5), "mu": jnp.ones(2)}
    old = {"count": jnp.int32(4), "mu": jnp.zeros(2)}
    for takes, moves in ((True, True), (False, True), (False, False)):
        got = guards.select(jnp.bool_(takes), new, old, jnp.bool_(moves))
        assert int(got["count"]) == (5 if moves else 4)
        assert float(got["mu"][0]) == float(takes)
    back = guards.with_counters(old, guards.counters(new))
    assert (int(back["count"]), float(back["mu"][0])) == (5, 0.0)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lr_backoff", 1.0, r"guard.lr_backoff is 1.0; expected in \(0, 1\)"),
        ("window", -1, "guard.window is -1; expected at least 0"),
        ("max_consecutive_skips", 0, "guard.max_consecutive_skips is 0; expected at least 1"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(key: str, value: object, said: str) -> None:
    from fusionjax.errors import InputError

    with pytest.raises(InputError, match=said):
        resolve(with_one_modality()).override({f"guard.{key}": value})
