"""Cross-validation where labels overlap in time: no train label shares a session with a test's.

``start`` is the session at whose close a sample's forecast is made, ``end`` (no earlier) the one at
whose close its label is known: ordinals that the stocks of a session share, in any order. Intervals
[start, end] are closed: a label known just when a test forecast is made counts as shared.
"""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Bool, Int, Int64

from fusionjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Fold:
    """Positions into the samples, ascending."""

    train: Int64[np.ndarray, "train"]
    test: Int64[np.ndarray, "test"]


def walk_forward(
    start: Int[np.ndarray, "S"],
    end: Int[np.ndarray, "S"],
    folds: int,
    sessions: int,
    embargo: int = 0,
) -> list[Fold]:
    """The last windows of a period, each tested after training on all that was known before it.

    Args:
      start: session of each forecast.
      end: session at which its label is known.
      folds: windows.
      sessions: distinct start sessions a window.
      embargo: a train label ends more than this many sessions before its window begins.

    Raises:
      InputError: too few sessions, nothing to train on, or no such intervals.
    """
    _check(start, end, embargo)
    at = np.unique(start)
    if min(folds, sessions) < 1 or folds * sessions > len(at):
        raise InputError(
            f"{folds} folds of {sessions} sessions: expected at least 1 of each and no more than "
            f"the {len(at)} sessions there are; ask for fewer or shorter folds"
        )
    windows = at[-folds * sessions :].reshape(folds, sessions)
    return [_fold(end < w[0] - embargo, np.isin(start, w)) for w in windows]


def purged_k_fold(
    start: Int[np.ndarray, "S"], end: Int[np.ndarray, "S"], folds: int, embargo: int = 0
) -> list[Fold]:
    """Every sample tested once, in contiguous groups of sessions; what overlaps them is purged.

    Lopez de Prado, Advances in Financial Machine Learning (2018), section 7.4.

    Args:
      start: session of each forecast.
      end: session at which its label is known.
      folds: groups of distinct start sessions, as equal as possible, the first ones larger.
      embargo: sessions after a test group's last label end in which no train sample starts.

    Raises:
      InputError: fewer sessions than folds, nothing to train on, or no such intervals.
    """
    return combinatorial_purged(start, end, folds, 1, embargo)


def combinatorial_purged(
    start: Int[np.ndarray, "S"],
    end: Int[np.ndarray, "S"],
    groups: int,
    held_out: int,
    embargo: int = 0,
) -> list[Fold]:
    """Every choice of ``held_out`` groups of ``purged_k_fold`` as the test, in lexicographic order.

    Lopez de Prado, Advances in Financial Machine Learning (2018), section 12.4.

    Args:
      start: session of each forecast.
      end: session at which its label is known.
      groups: of distinct start sessions, as equal as possible, the first ones larger.
      held_out: groups a test.
      embargo: sessions after a test group's last label end in which no train sample starts.

    Raises:
      InputError: fewer sessions than groups, nothing to train on, or no such intervals.
    """
    _check(start, end, embargo)
    choices = _choices(groups, held_out)
    at = np.unique(start)
    if len(at) < groups:
        raise InputError(
            f"{groups} groups: expected no more than the {len(at)} sessions there are; "
            "ask for fewer groups"
        )
    blocks = np.array_split(at, groups)
    inside = np.stack([np.isin(start, b) for b in blocks])
    # A group is contiguous, so whatever overlaps it neither ends before it nor starts after it.
    clear = np.stack(
        [
            (end < b[0]) | (start > end[own].max() + embargo)
            for b, own in zip(blocks, inside, strict=True)
        ]
    )
    return [_fold(clear[chosen].all(0), inside[chosen].any(0)) for chosen in choices]


def paths(groups: int, held_out: int) -> Int64[np.ndarray, "paths groups"]:
    """Which fold of ``combinatorial_purged`` serves each group on each backtest path.

    Path p takes the samples of group g, those that ``purged_k_fold`` tests in its fold g, from fold
    ``paths(...)[p, g]``: the p-th that tests them. Every (fold, tested group) is in one path.
    Lopez de Prado, Advances in Financial Machine Learning (2018), section 12.4.

    Raises:
      InputError: nothing or everything is held out.
    """
    return np.nonzero(_choices(groups, held_out).T)[1].reshape(groups, -1).T


def _choices(groups: int, held_out: int) -> Bool[np.ndarray, "folds groups"]:
    if not 1 <= held_out < groups:
        raise InputError(
            f"{held_out} of {groups} groups held out: expected at least 1, and 1 left to train on; "
            "change either number"
        )
    chosen = np.array(list(itertools.combinations(range(groups), held_out)))
    return (chosen[:, :, None] == np.arange(groups)).any(axis=1)


def _check(start: np.ndarray, end: np.ndarray, embargo: int) -> None:
    if embargo < 0:
        raise InputError(f"embargo is {embargo}: expected sessions, 0 or more; use 0 for none")
    wrong = np.flatnonzero(end < start)
    if len(wrong):
        i = wrong[0]
        raise InputError(
            f"sample {i} starts at session {start[i]} and its label ends at {end[i]}: expected an "
            "end no earlier than the start; correct the ordinals"
        )


def _fold(train: np.ndarray, test: np.ndarray) -> Fold:
    fold = Fold(np.flatnonzero(train), np.flatnonzero(test))
    if not len(fold.train):
        raise InputError(
            f"a fold that tests {len(fold.test)} samples has none to train on: expected labels "
            "clear of the test and its embargo; ask for fewer or shorter folds, or less embargo"
        )
    return fold
