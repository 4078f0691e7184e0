"""Goodput under failures: the simulation against Young's formula and by hand."""

import numpy as np
import pytest

from fusionjax.parallel.failures import HOUR, Reliability, best_interval, expected, simulated


def test_without_failures_only_saves_cost() -> None:
    assert simulated(900.0, 100.0, 1e12, 0.0, seed=0) == pytest.approx(0.9, abs=1e-3)
    assert expected(900.0, 100.0, 1e12, 0.0) == pytest.approx(0.9)


@pytest.mark.parametrize("devices", [64, 1024, 4096])
def test_the_simulation_agrees_with_the_formula(devices: int) -> None:
    r, state = Reliability(), 83e9
    between, save, again = r.between(devices), 5.0, r.again(state, devices // 8)
    for interval in (600.0, 3600.0):
        made = np.mean(
            [simulated(interval, save, between, again, seed=s, years=5.0) for s in range(5)]
        )
        assert made == pytest.approx(expected(interval, save, between, again), abs=0.01)


def test_the_best_interval_is_best() -> None:
    save, between, again = 5.0, 12 * HOUR, 300.0
    best = best_interval(save, between)
    at = {
        x: simulated(x, save, between, again, seed=1, years=20.0)
        for x in (best / 6, best, best * 6)
    }
    assert max(at, key=lambda x: at[x]) == best


def test_more_devices_fail_sooner() -> None:
    r = Reliability()
    assert r.between(64) == pytest.approx(64 * r.between(4096))
    assert r.device_hours == pytest.approx(50_676, rel=1e-3)
