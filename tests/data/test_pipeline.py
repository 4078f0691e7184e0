"""The order of batches: a function of seed and step, for any number of processes."""

from pathlib import Path

import numpy as np
from conftest import tiny_market
from test_windows import config_of_all_kinds

from fusionjax.data import samples
from fusionjax.data.pipeline import evaluation_batches, training_batches
from fusionjax.data.samples import Samples
from fusionjax.data.windows import Scaler, Windows


def setting() -> tuple[Samples, Windows]:
    market = tiny_market()
    config = config_of_all_kinds()
    s = samples.between(market, config, np.datetime64("2020-01-01"), np.datetime64("2020-02-09"))
    return s, Windows(
        market, config, Scaler({"ret": 0.0, "vol20": 0.0}, {"ret": 1.0, "vol20": 1.0})
    )


def ids(count: int, **changes: object) -> np.ndarray:
    s, windows = setting()
    arguments = {"batch_size": 8, "seed": 1, "start": 0} | changes
    batches = training_batches(s, windows, **arguments)  # type: ignore[arg-type]
    return np.stack([next(batches).sample_id for _ in range(count)])


def test_every_epoch_is_a_new_permutation_of_all_samples() -> None:
    s, _ = setting()
    n = len(s)
    assert n == 68
    drawn = ids(17).ravel()  # 17 · 8 = 2 epochs
    np.testing.assert_array_equal(np.sort(drawn[:n]), np.sort(s.row))
    np.testing.assert_array_equal(np.sort(drawn[n:]), np.sort(s.row))
    assert (drawn[:n] != drawn[n:]).any()


def test_a_resumed_run_sees_the_next_batch() -> None:
    np.testing.assert_array_equal(ids(6)[4:], ids(2, start=4))


def test_seeds_differ_and_repeat() -> None:
    np.testing.assert_array_equal(ids(3), ids(3))
    assert (ids(3) != ids(3, seed=2)).any()


def test_the_global_batch_is_the_same_for_any_number_of_processes() -> None:
    whole = ids(5)
    for count in (2, 4):
        parts = [ids(5, process=(p, count)) for p in range(count)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_replay_takes_its_share_of_every_batch() -> None:
    s, _ = setting()
    old = s.take(np.arange(10))
    new_rows = set(s.row[10:].tolist())
    market_samples = s.take(np.arange(10, len(s)))
    _, windows = setting()
    batches = training_batches(
        market_samples, windows, batch_size=8, seed=0, start=0, replay=old, replay_share=0.25
    )
    for _ in range(12):
        drawn = next(batches).sample_id.tolist()
        assert sum(row in new_rows for row in drawn) == 6
        assert sum(row in set(old.row.tolist()) for row in drawn) == 2


def test_evaluation_covers_every_row_once_and_pads_with_weight_zero() -> None:
    s, windows = setting()
    batches = list(evaluation_batches(s.row[:10], windows, 4))
    assert [b.weight.tolist() for b in batches] == [[1] * 4, [1] * 4, [1, 1, 0, 0]]
    seen = np.concatenate([b.sample_id[b.weight > 0] for b in batches])
    np.testing.assert_array_equal(seen, s.row[:10])


def test_batches_carry_their_labels(tmp_path: Path) -> None:
    s, windows = setting()
    batch = next(training_batches(s, windows, batch_size=16, seed=0, start=0))
    at = np.searchsorted(s.row, batch.sample_id)
    np.testing.assert_array_equal(batch.targets.returns, s.targets.returns[at])
