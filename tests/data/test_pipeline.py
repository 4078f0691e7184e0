"""The order of batches: a function of seed and step, for any number of processes."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from conftest import tiny_market
from test_windows import config_of_all_kinds

from fusionjax.data import samples
from fusionjax.data.pipeline import (
    BatchPlan,
    Feeds,
    Replay,
    Shown,
    evaluation_batches,
    labelled_batches,
)
from fusionjax.data.samples import Lesson, Samples
from fusionjax.data.windows import Scaler, Windows
from fusionjax.types import Feed

ABSORB = 6  # the step from which the anchor is trained on


def setting(anchor_share: float = 0.0) -> tuple[Lesson, Windows]:
    market = tiny_market()
    config = config_of_all_kinds()
    days = np.datetime64("2020-01-01"), np.datetime64("2020-02-09")
    return samples.lesson(market, config, *days, anchor_share), Windows(
        market, config, Scaler({"ret": 0.0, "vol20": 0.0}, {"ret": 1.0, "vol20": 1.0})
    )


def training_feeds(
    lesson: Lesson, windows: Windows, *, start: int, **arguments: object
) -> Iterator[Feed]:
    of_feeds = {k: arguments.pop(k) for k in ("replay", "process") if k in arguments}
    plan = BatchPlan(**arguments)  # type: ignore[arg-type]
    return Feeds(lesson, windows, plan, **of_feeds).starting(start)  # type: ignore[arg-type]


def ids(
    count: int, lesson: Lesson | None = None, **changes: object
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of the batches and, where there is one, of the anchors."""
    plain, windows = setting()
    arguments = {"batch_size": 8, "anchor_size": 4, "absorb_start": ABSORB, "seed": 1, "start": 0}
    arguments |= {"windows": windows} | changes
    feeds = training_feeds(lesson or plain, **arguments)  # type: ignore[arg-type]
    taken = [next(feeds) for _ in range(count)]
    anchors = [f.anchor.sample_id for f in taken if f.anchor is not None]
    return np.stack([f.batch.sample_id for f in taken]), np.stack(anchors) if anchors else None


def batches(count: int, **changes: object) -> np.ndarray:
    return ids(count, **changes)[0]  # type: ignore[arg-type]


def test_every_epoch_is_a_new_permutation_of_all_samples() -> None:
    s = setting()[0].whole
    n = len(s)
    assert n == 68
    drawn = batches(17).ravel()  # 17 · 8 = 2 epochs
    np.testing.assert_array_equal(np.sort(drawn[:n]), np.sort(s.row))
    np.testing.assert_array_equal(np.sort(drawn[n:]), np.sort(s.row))
    assert (drawn[:n] != drawn[n:]).any()


def test_a_resumed_run_sees_the_next_batch() -> None:
    np.testing.assert_array_equal(batches(6)[4:], batches(2, start=4))


def test_a_resumed_run_sees_the_next_anchor_and_the_rows_that_are_due() -> None:
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


def test_the_anchor_stays_unseen_until_the_weights_are_settled() -> None:
    cut, _ = setting(0.4)
    assert cut.base is not None
    assert cut.anchor is not None
    base, anchor = set(cut.base.row.tolist()), set(cut.anchor.row.tolist())
    assert not base & anchor
    drawn, beside = ids(ABSORB + 12, cut)
    early, late = set(drawn[:ABSORB].ravel().tolist()), set(drawn[ABSORB:].ravel().tolist())
    assert early <= base
    assert late & anchor
    assert late & base
    assert beside is not None
    assert beside.shape == (ABSORB + 12, 4)
    assert set(beside.ravel().tolist()) == anchor, "all of it and nothing else, at every step"


def test_nobody_sees_the_anchor_where_it_is_never_absorbed() -> None:
    cut, _ = setting(0.4)
    assert cut.anchor is not None
    drawn, _ = ids(30, cut, absorb_start=30)
    assert not set(drawn.ravel().tolist()) & set(cut.anchor.row.tolist())


def test_every_row_before_the_anchor_is_drawn_equally_often() -> None:
    cut, _ = setting(0.5)
    assert cut.base is not None
    size = len(cut.base)
    steps = 2 * size // 8 + 1
    drawn = batches(steps, lesson=cut, absorb_start=steps).ravel()
    np.testing.assert_array_equal(np.sort(drawn[:size]), np.sort(cut.base.row))
    np.testing.assert_array_equal(np.sort(drawn[size : 2 * size]), np.sort(cut.base.row))


def test_labels_before_the_anchor_are_those_known_by_then() -> None:
    cut, windows = setting(0.4)
    assert cut.base is not None
    feeds = training_feeds(
        cut, windows, batch_size=16, anchor_size=4, absorb_start=3, seed=0, start=0
    )
    for step in range(6):
        batch = next(feeds).batch
        source = cut.base if step < 3 else cut.whole
        at = np.searchsorted(source.row, batch.sample_id)
        np.testing.assert_array_equal(
            batch.targets.mask["returns"], source.targets.mask["returns"][at]
        )


def test_replay_takes_its_share_of_every_batch() -> None:
    lesson, windows = setting()
    s = lesson.whole
    old = s.take(np.arange(10))
    new_rows = set(s.row[10:].tolist())
    feeds = training_feeds(
        dataclasses.replace(lesson, whole=s.take(np.arange(10, len(s)))),
        windows,
        batch_size=8,
        anchor_size=8,
        absorb_start=0,
        seed=0,
        start=0,
        replay=Replay(old, 0.25),
    )
    for _ in range(12):
        feed = next(feeds)
        assert feed.anchor is None
        drawn = feed.batch.sample_id.tolist()
        assert sum(row in new_rows for row in drawn) == 6
        assert sum(row in set(old.row.tolist()) for row in drawn) == 2


def test_an_anchor_is_built_only_where_it_is_due_and_is_the_same() -> None:
    cut, windows = setting(0.4)
    sizes = {"batch_size": 8, "anchor_size": 4, "absorb_start": ABSORB, "seed": 1, "start": 0}
    always = training_feeds(cut, windows, **sizes)  # type: ignore[arg-type]
    odd = training_feeds(cut, windows, due=lambda step: step % 2 == 1, **sizes)  # type: ignore[arg-type]
    for step in range(6):
        wanted, got = next(always), next(odd)
        np.testing.assert_array_equal(got.batch.sample_id, wanted.batch.sample_id)
        assert (got.anchor is None) == (step % 2 == 0)
        if got.anchor is not None:
            assert wanted.anchor is not None
            np.testing.assert_array_equal(got.anchor.sample_id, wanted.anchor.sample_id)


def first(count: int) -> tuple[Samples, Windows]:
    lesson, windows = setting()
    return lesson.whole.take(np.arange(count)), windows


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
    lesson, windows = setting()
    feed = next(
        training_feeds(
            lesson, windows, batch_size=16, anchor_size=1, absorb_start=0, seed=0, start=0
        )
    )
    at = np.searchsorted(lesson.whole.row, feed.batch.sample_id)
    np.testing.assert_array_equal(
        feed.batch.targets.label["returns"], lesson.whole.targets.label["returns"][at]
    )


def test_a_weighted_epoch_holds_each_sample_as_often_as_its_weight_says() -> None:
    lesson, windows = setting()
    rows = lesson.whole.row
    weight = np.ones(rows.max() + 1)
    weight[rows[:10]] = 3.0
    windows.balance = weight
    drawn = batches(17, lesson=lesson, windows=windows).ravel()  # 2 epochs of 68
    per_unit = 2 * 68 / weight[rows].sum()
    counts = np.array([(drawn == r).sum() for r in rows])
    assert (np.abs(counts - per_unit * weight[rows]) <= 2).all(), "each is rounded once an epoch"
    assert len(drawn) == counts.sum()
    again = batches(17, lesson=lesson, windows=windows).ravel()
    np.testing.assert_array_equal(drawn, again)


def test_a_sample_of_weight_zero_keeps_its_place_and_shows_nothing() -> None:
    lesson, windows = setting()
    plain = Feeds(lesson, windows, BatchPlan(8, 1, absorb_start=0, seed=1))
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
    feeds = Feeds(cut, windows, BatchPlan(8, 4, absorb_start=ABSORB, seed=1))
    shown = Shown(np.arange(8) == 5, np.zeros(4, bool))
    feed = feeds.showing(2, shown)
    assert feed.batch.weight.tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
    assert feed.anchor is not None
    assert not feed.anchor.weight.any()
    whole = feeds[2]
    np.testing.assert_array_equal(
        feed.batch.inputs["text"].mask[5], whole.batch.inputs["text"].mask[5]
    )
    assert not feed.batch.inputs["text"].mask[:5].any()
