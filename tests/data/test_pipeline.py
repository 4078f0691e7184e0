"""The order of batches: a function of seed and step, for any number of processes."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from conftest import tiny_market
from test_windows import config_of_all_kinds

from fusionjax.data import samples
from fusionjax.data.pipeline import (
    BatchPlan,
    BatchSource,
    Replay,
    VisibleRows,
    evaluation_batches,
    labelled_batches,
)
from fusionjax.data.samples import Samples, TrainingData
from fusionjax.data.windows import Scaler, Windows
from fusionjax.types import StepInputs

REFIT = 6  # the step from which the meta set is trained on


def setting(meta_fraction: float = 0.0) -> tuple[TrainingData, Windows]:
    market = tiny_market()
    config = config_of_all_kinds()
    days = np.datetime64("2020-01-01"), np.datetime64("2020-02-09")
    return samples.training_data(market, config, *days, meta_fraction), Windows(
        market, config, Scaler({"ret": 0.0, "vol20": 0.0}, {"ret": 1.0, "vol20": 1.0})
    )


def training_feeds(
    training_data: TrainingData, windows: Windows, *, start: int, **arguments: object
) -> Iterator[StepInputs]:
    of_feeds = {k: arguments.pop(k) for k in ("replay", "process") if k in arguments}
    plan = BatchPlan(**arguments)  # type: ignore[arg-type]
    return BatchSource(training_data, windows, plan, **of_feeds).starting(start)  # type: ignore[arg-type]


def ids(
    count: int, training_data: TrainingData | None = None, **changes: object
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of the batches and, where there is one, of the meta sets."""
    plain, windows = setting()
    arguments = {"batch_size": 8, "meta_batch_size": 4, "refit_start": REFIT, "seed": 1, "start": 0}
    arguments |= {"windows": windows} | changes
    batch_source = training_feeds(training_data or plain, **arguments)  # type: ignore[arg-type]
    taken = [next(batch_source) for _ in range(count)]
    meta_sets = [f.meta.sample_id for f in taken if f.meta is not None]
    return np.stack([f.batch.sample_id for f in taken]), np.stack(meta_sets) if meta_sets else None


def batches(count: int, **changes: object) -> np.ndarray:
    return ids(count, **changes)[0]  # type: ignore[arg-type]


def test_every_epoch_is_a_new_permutation_of_all_samples() -> None:
    s = setting()[0].all
    n = len(s)
    assert n == 68
    drawn = batches(17).ravel()  # 17 · 8 = 2 epochs
    np.testing.assert_array_equal(np.sort(drawn[:n]), np.sort(s.row))
    np.testing.assert_array_equal(np.sort(drawn[n:]), np.sort(s.row))
    assert (drawn[:n] != drawn[n:]).any()


def test_new_replayed_and_meta_samples_and_neighbouring_seeds_have_orders_of_their_own() -> None:
    """Seed 1's replay had the order of seed 2's batches, and its meta set that of seed 3's."""
    data, windows = setting(0.4)
    same = TrainingData(data.all, data.all, data.all)
    orders: dict[tuple[int, str], tuple[int, ...]] = {}
    for seed in range(1, 5):
        source = BatchSource(same, windows, BatchPlan(16, 8, 2, seed), Replay(data.all, share=0.5))
        steps = [source.drawn(step) for step in range(4)]
        for part, at in (("inner", (0, 1)), ("all", (2, 3))):
            rows = [steps[i][0].row for i in at]
            orders[seed, part] = tuple(np.concatenate([r[:8] for r in rows]).tolist())
            orders[seed, f"replay beside {part}"] = tuple(
                np.concatenate([r[8:] for r in rows]).tolist()
            )
        meta = [m.row for _, m in steps[:2] if m is not None]
        orders[seed, "meta"] = tuple(np.concatenate(meta).tolist())
    assert len({*orders.values()}) == len(orders) == 20


def test_a_resumed_run_sees_the_next_batch() -> None:
    np.testing.assert_array_equal(batches(6)[4:], batches(2, start=4))


def test_a_resumed_run_sees_the_next_meta_set_and_the_rows_that_are_due() -> None:
    cut, _ = setting(0.4)
    for whole, later in zip(ids(9, cut), ids(4, cut, start=5), strict=True):
        assert whole is not None
        np.testing.assert_array_equal(whole[5:], later)


def test_seeds_differ_and_repeat() -> None:
    np.testing.assert_array_equal(batches(3), batches(3))
    assert (batches(3) != batches(3, seed=2)).any()


def test_the_global_batch_is_the_same_for_any_number_of_processes() -> None:
    cut, _ = setting(0.4)
    for whole, *parts in (
        (ids(8, cut), *(ids(8, cut, process=(p, count)) for p in range(count))) for count in (2, 4)
    ):
        for i in range(2):
            joined = np.concatenate([part[i] for part in parts], axis=1)
            np.testing.assert_array_equal(joined, whole[i])


def test_the_meta_set_stays_unseen_until_the_weights_are_settled() -> None:
    cut, _ = setting(0.4)
    assert cut.inner is not None
    assert cut.meta is not None
    inner, meta = set(cut.inner.row.tolist()), set(cut.meta.row.tolist())
    assert not inner & meta
    drawn, beside = ids(REFIT + 12, cut)
    early, late = set(drawn[:REFIT].ravel().tolist()), set(drawn[REFIT:].ravel().tolist())
    assert early <= inner
    assert late & meta
    assert late & inner
    assert beside is not None
    assert beside.shape == (REFIT + 12, 4)
    assert set(beside.ravel().tolist()) == meta, "all of it and nothing else, at every step"


def test_nobody_sees_the_meta_set_where_there_is_no_refit() -> None:
    cut, _ = setting(0.4)
    assert cut.meta is not None
    drawn, _ = ids(30, cut, refit_start=30)
    assert not set(drawn.ravel().tolist()) & set(cut.meta.row.tolist())


def test_every_row_before_the_meta_set_is_drawn_equally_often() -> None:
    cut, _ = setting(0.5)
    assert cut.inner is not None
    size = len(cut.inner)
    steps = 2 * size // 8 + 1
    drawn = batches(steps, training_data=cut, refit_start=steps).ravel()
    np.testing.assert_array_equal(np.sort(drawn[:size]), np.sort(cut.inner.row))
    np.testing.assert_array_equal(np.sort(drawn[size : 2 * size]), np.sort(cut.inner.row))


def test_labels_before_the_meta_set_are_those_known_by_then() -> None:
    cut, windows = setting(0.4)
    assert cut.inner is not None
    batch_source = training_feeds(
        cut, windows, batch_size=16, meta_batch_size=4, refit_start=3, seed=0, start=0
    )
    for step in range(6):
        batch = next(batch_source).batch
        source = cut.inner if step < 3 else cut.all
        at = np.searchsorted(source.row, batch.sample_id)
        np.testing.assert_array_equal(
            batch.targets.mask["returns"], source.targets.mask["returns"][at]
        )


def test_replay_takes_its_share_of_every_batch() -> None:
    training_data, windows = setting()
    s = training_data.all
    old = s.take(np.arange(10))
    new_rows = set(s.row[10:].tolist())
    batch_source = training_feeds(
        dataclasses.replace(training_data, all=s.take(np.arange(10, len(s)))),
        windows,
        batch_size=8,
        meta_batch_size=8,
        refit_start=0,
        seed=0,
        start=0,
        replay=Replay(old, 0.25),
    )
    for _ in range(12):
        step_inputs = next(batch_source)
        assert step_inputs.meta is None
        drawn = step_inputs.batch.sample_id.tolist()
        assert sum(row in new_rows for row in drawn) == 6
        assert sum(row in set(old.row.tolist()) for row in drawn) == 2


def test_a_meta_set_is_built_only_where_it_is_due_and_is_the_same() -> None:
    cut, windows = setting(0.4)
    sizes = {"batch_size": 8, "meta_batch_size": 4, "refit_start": REFIT, "seed": 1, "start": 0}
    always = training_feeds(cut, windows, **sizes)  # type: ignore[arg-type]
    odd = training_feeds(cut, windows, is_update_step=lambda step: step % 2 == 1, **sizes)  # type: ignore[arg-type]
    for step in range(6):
        expected, got = next(always), next(odd)
        np.testing.assert_array_equal(got.batch.sample_id, expected.batch.sample_id)
        assert (got.meta is None) == (step % 2 == 0)
        if got.meta is not None:
            assert expected.meta is not None
            np.testing.assert_array_equal(got.meta.sample_id, expected.meta.sample_id)


def first(count: int) -> tuple[Samples, Windows]:
    training_data, windows = setting()
    return training_data.all.take(np.arange(count)), windows


def test_evaluation_covers_every_row_once_and_pads_with_weight_zero() -> None:
    s, windows = first(10)
    made = list(evaluation_batches(s.row, windows, 4))
    assert [b.weight.tolist() for b in made] == [[1] * 4, [1] * 4, [1, 1, 0, 0]]
    seen = np.concatenate([b.sample_id[b.weight > 0] for b in made])
    np.testing.assert_array_equal(seen, s.row)


def test_labelled_batches_do_the_same_with_labels() -> None:
    s, windows = first(10)
    made = list(labelled_batches(s, windows, 4))
    assert [b.weight.tolist() for b in made] == [[1] * 4, [1] * 4, [1, 1, 0, 0]]
    for side in ("label", "mask"):
        for name, whole in getattr(s.targets, side).items():
            seen = [getattr(b.targets, side)[name][b.weight > 0] for b in made]
            np.testing.assert_array_equal(np.concatenate(seen), whole)
    seen = np.concatenate([b.sample_id[b.weight > 0] for b in made])
    np.testing.assert_array_equal(seen, s.row)


def test_batches_carry_their_labels() -> None:
    training_data, windows = setting()
    step_inputs = next(
        training_feeds(
            training_data, windows, batch_size=16, meta_batch_size=1, refit_start=0, seed=0, start=0
        )
    )
    at = np.searchsorted(training_data.all.row, step_inputs.batch.sample_id)
    np.testing.assert_array_equal(
        step_inputs.batch.targets.label["returns"], training_data.all.targets.label["returns"][at]
    )


def test_a_weighted_epoch_holds_each_sample_as_often_as_its_weight_says() -> None:
    training_data, windows = setting()
    rows = training_data.all.row
    weight = np.ones(rows.max() + 1)
    weight[rows[:10]] = 3.0
    windows.balance = weight
    drawn = batches(17, training_data=training_data, windows=windows).ravel()  # 2 epochs of 68
    per_unit = 2 * 68 / weight[rows].sum()
    counts = np.array([(drawn == r).sum() for r in rows])
    assert (np.abs(counts - per_unit * weight[rows]) <= 2).all(), "each is rounded once an epoch"
    assert len(drawn) == counts.sum()
    again = batches(17, training_data=training_data, windows=windows).ravel()
    np.testing.assert_array_equal(drawn, again)


def test_a_sample_of_weight_zero_keeps_its_place_and_shows_nothing() -> None:
    training_data, windows = setting()
    plain = BatchSource(training_data, windows, BatchPlan(8, 1, refit_start=0, seed=1))
    row = int(plain[3].batch.sample_id[2])
    weighed = plain.weighing({row: (0.0, 3), int(plain[3].batch.sample_id[4]): (0.25, 0)})
    np.testing.assert_array_equal(weighed[2].batch.weight[plain[2].batch.sample_id == row], 1)
    before, after = plain[3].batch, weighed[3].batch
    np.testing.assert_array_equal(after.sample_id, before.sample_id)
    assert after.weight[2] == 0
    assert after.weight[4] == 0.25
    assert not after.inputs["price"].x[2].any()
    assert not any(shown[2] for shown in after.present.values())
    assert not after.targets.mask["returns"][2].any()
    others = np.arange(8) != 2
    np.testing.assert_array_equal(after.inputs["price"].x[others], before.inputs["price"].x[others])


def test_rows_that_are_not_shown_are_blank() -> None:
    cut, windows = setting(0.4)
    batch_source = BatchSource(cut, windows, BatchPlan(8, 4, refit_start=REFIT, seed=1))
    shown = VisibleRows(np.arange(8) == 5, np.zeros(4, bool))
    step_inputs = batch_source.showing(2, shown)
    assert step_inputs.batch.weight.tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
    assert step_inputs.meta is not None
    assert not step_inputs.meta.weight.any()
    whole = batch_source[2]
    np.testing.assert_array_equal(
        step_inputs.batch.inputs["text"].mask[5], whole.batch.inputs["text"].mask[5]
    )
    assert not step_inputs.batch.inputs["text"].mask[:5].any()
