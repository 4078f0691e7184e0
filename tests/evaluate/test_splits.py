"""Splits by hand, against purgedcv, and on any panel: no label that trains meets one that tests.

purgedcv's labels are half-open intervals of wall-clock time and its embargoes closed ones; our
labels are closed intervals of sessions. So session n becomes midnight of day n and a label known at
its close ends at noon: then both say the same of every integer. Its splitters cut rows and ours
sessions, so they are compared on one sample a session, and its primitives on panels.
"""

import itertools
from collections.abc import Callable
from math import comb

import numpy as np
import purgedcv
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from jaxtyping import Int

from fusionjax.errors import InputError
from fusionjax.evaluate.splits import Fold, combinatorial_purged, paths, purged_k_fold, walk_forward

DAY, NOON = np.timedelta64(24, "h"), np.timedelta64(12, "h")
Panel = tuple[Int[np.ndarray, "S"], Int[np.ndarray, "S"]]


def times(start: np.ndarray, end: np.ndarray) -> dict[str, np.ndarray]:
    zero = np.datetime64("2020-01-01", "ns")
    return {"prediction_times": zero + start * DAY, "evaluation_times": zero + end * DAY + NOON}


def listed(folds: list[Fold]) -> list[tuple[list[int], list[int]]]:
    return [(f.train.tolist(), f.test.tolist()) for f in folds]


def assert_same(folds: list[Fold], splitter: purgedcv.BaseTemporalSplitter, rows: int) -> None:
    theirs = splitter.split(np.zeros((rows, 1)))
    assert listed(folds) == [(train.tolist(), test.tolist()) for train, test in theirs]


@st.composite
def panels(draw: st.DrawFn) -> Panel:
    """Samples in any order; sessions that many share or none has; labels of 0 to 5 sessions."""
    samples = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), min_size=20, max_size=60)
    start, length = np.array(draw(samples)).T
    return start, start + length


def possible(split: Callable[..., list[Fold]], *args: object) -> list[Fold]:
    try:
        return split(*args)
    except InputError:  # so few sessions that nothing is left to train on
        reject()


def meet(panel: Panel, fold: Fold) -> bool:
    """Whether a train label shares a session with a test label, pair by pair."""
    (start, end), a, b = panel, fold.train[:, None], fold.test
    return bool(((start[a] <= end[b]) & (start[b] <= end[a])).any())


def test_walk_forward_by_hand() -> None:
    start = np.array([5, 0, 1, 2, 3, 4, 5, 2])
    end = np.array([6, 1, 2, 3, 4, 5, 6, 6])
    # Windows of sessions 2-3 and 4-5. Before 2 only sample 1 has ended, as 2 ends at 2 itself;
    # before 4 so have 2 and 3, but neither 4 (at 4) nor 7 (at 6).
    assert listed(walk_forward(start, end, 2, 2)) == [([1], [3, 4, 7]), ([1, 2, 3], [0, 5, 6])]
    # An embargo of 1 wants labels to end before 3, where sample 3 ends.
    assert listed(walk_forward(start, end, 1, 2, 1)) == [([1, 2], [0, 5, 6])]


def test_k_fold_by_hand() -> None:
    start = np.array([4, 3, 2, 1, 0, 0, 6])
    # Groups of sessions 0-1, 2-3 and 4, 6. Labels of the first end at 2, where sample 2 starts;
    # those of the second span 2-4, where 3 ends and 0 starts; the third begins at 4, where 1 ends.
    third = ([2, 3, 4, 5], [0, 6])
    plain = [([0, 1, 6], [3, 4, 5]), ([4, 5, 6], [1, 2]), third]
    assert listed(purged_k_fold(start, start + 1, 3)) == plain
    # An embargo of 2 reaches session 4 (samples 1 and 0) after the first and 6 after the second.
    embargoed = [([6], [3, 4, 5]), ([4, 5], [1, 2]), third]
    assert listed(purged_k_fold(start, start + 1, 3, 2)) == embargoed


def test_combinations_by_hand() -> None:
    session = np.arange(8)
    # Labels of one session: only an embargo of 1 takes away, the session after each group.
    assert listed(combinatorial_purged(session, session, 4, 2, 1)) == [
        ([5, 6, 7], [0, 1, 2, 3]),
        ([3, 7], [0, 1, 4, 5]),
        ([3, 4, 5], [0, 1, 6, 7]),
        ([0, 1, 7], [2, 3, 4, 5]),
        ([0, 1, 5], [2, 3, 6, 7]),
        ([0, 1, 2, 3], [4, 5, 6, 7]),
    ]


def test_paths_by_hand() -> None:
    # The folds test groups 01, 02, 03, 12, 13, 23; the p-th that tests a group is on path p.
    assert paths(4, 2).tolist() == [[0, 0, 1, 2], [1, 3, 3, 4], [2, 4, 5, 5]]


@pytest.mark.parametrize("embargo", [0, 1, 3])
@pytest.mark.parametrize("longest", [0, 1, 6])
def test_a_series_is_split_as_purgedcv_does(longest: int, embargo: int) -> None:
    rng = np.random.default_rng(longest)
    start = np.sort(rng.choice(120, 70, replace=False))  # 70 in 6 groups: not all are equal
    end = start + rng.integers(0, longest + 1, 70)
    settings = times(start, end) | {"embargo": embargo * DAY}
    folds = purged_k_fold(start, end, 6, embargo)
    assert_same(folds, purgedcv.PurgedKFold(6, **settings), 70)
    folds = combinatorial_purged(start, end, 6, 2, embargo)
    assert_same(folds, purgedcv.CombinatorialPurgedCV(6, 2, **settings), 70)
    # Its embargo leaves walk-forward folds alone; padding the test with as much time does not.
    padded = purgedcv.WalkForwardSplit(4, 9, **times(start, end), purge_horizon=embargo * DAY)
    assert_same(walk_forward(start, end, 4, 9, embargo), padded, 70)


@pytest.mark.parametrize(("groups", "held_out"), [(4, 1), (6, 2), (7, 3), (5, 4)])
def test_paths_are_those_of_purgedcv(groups: int, held_out: int) -> None:
    session = np.arange(40)
    theirs = purgedcv.CombinatorialPurgedCV(groups, held_out, **times(session, session))
    said = [np.full(len(t), k) for k, (_, t) in enumerate(theirs.split(np.zeros((40, 1))))]
    sizes = [len(b) for b in np.array_split(session, groups)]
    np.testing.assert_array_equal(
        np.repeat(paths(groups, held_out), sizes, axis=1), theirs.reconstruct_paths(said)
    )


@given(panels(), st.sampled_from([(2, 1), (3, 2), (5, 1), (5, 2)]), st.integers(0, 3))
def test_panels_lose_to_k_folds_what_purgedcv_takes_and_no_more(
    panel: Panel, choice: tuple[int, int], embargo: int
) -> None:
    for fold in possible(combinatorial_purged, *panel, *choice, embargo):
        assert not meet(panel, fold)
        others = np.setdiff1d(np.arange(len(panel[0])), fold.test)
        purged = purgedcv.purge(others, fold.test, **times(*panel))
        kept = purgedcv.apply_embargo(purged, fold.test, **times(*panel), embargo=embargo * DAY)
        assert fold.train.tolist() == kept.tolist()


@given(panels(), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3))
def test_walking_forward_knows_the_past_and_no_more(
    panel: Panel, folds: int, sessions: int, embargo: int
) -> None:
    start, end = panel
    tested = np.unique(start)[-folds * sessions :]
    for k, fold in enumerate(possible(walk_forward, start, end, folds, sessions, embargo)):
        assert not meet(panel, fold)
        window = tested[k * sessions : (k + 1) * sessions]
        assert fold.test.tolist() == [i for i, s in enumerate(start) if s in window]
        known = [i for i, e in enumerate(end) if e + embargo < window[0]]
        assert fold.train.tolist() == known


@given(panels(), st.integers(2, 5))
def test_k_folds_test_every_sample_once_and_split_no_session(panel: Panel, folds: int) -> None:
    tests = [f.test for f in possible(purged_k_fold, *panel, folds)]
    assert sorted(np.concatenate(tests).tolist()) == list(range(len(panel[0])))
    sessions = [np.unique(panel[0][t]) for t in tests]
    assert all(a[-1] < b[0] for a, b in itertools.pairwise(sessions))
    assert np.ptp([len(s) for s in sessions]) <= 1


@given(panels(), st.sampled_from([(3, 2), (5, 1), (5, 2), (5, 3)]))
def test_every_path_covers_every_group_once(panel: Panel, choice: tuple[int, int]) -> None:
    groups, held_out = choice
    folds = possible(combinatorial_purged, *panel, groups, held_out)
    group = [f.test for f in purged_k_fold(*panel, groups)]
    on = paths(groups, held_out)
    assert on.shape == (comb(groups - 1, held_out - 1), groups)
    for path in on:
        parts = [np.intersect1d(folds[f].test, group[g]) for g, f in enumerate(path)]
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(panel[0])))
    pairs = {(f, g) for path in on for g, f in enumerate(path.tolist())}
    assert len(pairs) == len(folds) * held_out


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (lambda s: walk_forward(s, s, 3, 4), "3 folds of 4 sessions.* the 10 sessions there are"),
        (lambda s: walk_forward(s, s, 0, 4), "0 folds of 4 sessions: expected at least 1 of each"),
        (lambda s: walk_forward(s, s, 2, 5), "tests 5 samples has none to train on"),
        (lambda s: walk_forward(s, s, 1, 2, -1), "embargo is -1: expected sessions, 0 or more"),
        (lambda s: purged_k_fold(s, s, 11), "11 groups: expected no more than the 10 sessions"),
        (lambda s: purged_k_fold(s, s, 1), "1 of 1 groups held out: expected"),
        (lambda s: purged_k_fold(s, s + 9, 2), "tests 5 samples has none to train on"),
        (lambda s: purged_k_fold(s, s[::-1], 2), "sample 5 starts at session 5 .* ends at 4"),
        (lambda s: combinatorial_purged(s, s, 4, 0), "0 of 4 groups held out"),
        (lambda _: paths(4, 4), "4 of 4 groups held out"),
    ],
)
def test_the_impossible_is_refused(split: Callable[[np.ndarray], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        split(np.arange(10))
