"""The views of a file in the splits of a study, as they are or spoilt in the ways fusions differ.

Rows without a time have no order: a seeded shuffle stands in for it.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int64

from fusionjax.errors import InputError, nearest
from studies.data.view_file import ViewFile
from studies.data.views import StudyLabels, Views, targets, views

_HELD_OUT = 0.2  # of the rows for test, and of the other rows for dev, where the file does not say
_SESSIONS = 10  # for training, at least, where there is a time
_FEW_TRAIN, _FEW_DEV = 150, 200
_NOISY, _NOISE = 0.4, 5.0  # share of views; standard deviations of the feature
_MISSING = 0.5  # share of views
_CONFLICTING = 0.4  # share of test samples
_JUNK = 4  # views
_WRONG = 0.25  # share of training labels

_X = dict[str, Float[np.ndarray, "S _"]]
_Split = dict[str, Int64[np.ndarray, "_"]]


def load(path: Path, seed: int, corruption: str) -> Views:
    """Reads a file of views, splits it and spoils it.

    Without a split of the file's own a fifth is for test: the latest rows, or random ones if there
    is no time. "dev" is the last fifth of the rows for training, unless the file names it.

    - "clean": as the file has them.
    - "noise": to 40 % of all views Gaussian noise of five times the feature's deviation is added.
    - "missing": half of all views are missing, never all of a sample's.
    - "junk": four more, ``junk_0``.. ``junk_3``, each a view dealt to other samples of its split.
    - "conflict": for 40 % of the test samples one view is that of another class's test sample.
    - "wrong_labels": a quarter of the training rows are labelled with another class.
    - "few": 150 training rows and 200 dev rows; the others are left out.
    - "few_junk": both.

    Args:
      path: see ``ViewFile``.
      seed: of the shuffle and of what is spoilt.
      corruption: one of the above.

    Raises:
      InputError: the file is not as it should be, or there is no such corruption.
    """
    if corruption not in CORRUPTIONS:
        raise InputError(
            f"config.ladder.variant is {corruption!r}; expected {', '.join(CORRUPTIONS)}"
            f"{nearest(corruption, CORRUPTIONS)}"
        )
    file = ViewFile.read(path)
    rng = np.random.default_rng([seed, 23])
    train, dev, test = _split(file, path, rng)
    if corruption.startswith("few"):
        train, dev = train[-_FEW_TRAIN:], dev[:_FEW_DEV]
    order = np.concatenate([train, dev, test])
    rows = np.split(np.arange(len(order)), np.cumsum([len(train), len(dev)]))
    split = dict(zip(("train", "dev", "test"), rows, strict=True))
    label, x = file.label[order], {name: values[order] for name, values in file.x.items()}
    x, label = CORRUPTIONS[corruption](x, label, split, rng)
    time = np.arange(len(order))
    if file.time is not None:
        time = np.unique(file.time[order], return_inverse=True)[1]
    labels = StudyLabels(targets(direction=label), classes=file.classes)
    return views(x, labels, time, split, path, dated=file.time is not None)


def _split(
    file: ViewFile, path: Path, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of training, dev and test, each in the study's order."""

    def ordered(rows: np.ndarray) -> np.ndarray:
        if file.time is None:
            return rng.permutation(rows)
        return rows[np.argsort(file.time[rows], kind="stable")]

    def cut(rows: np.ndarray) -> list[np.ndarray]:
        """Apart from the last fifth; no session is cut in two."""
        at = len(rows) - round(_HELD_OUT * len(rows))
        if file.time is not None and at < len(rows):
            at = int(np.searchsorted(file.time[rows], file.time[rows[at]]))
        return np.split(rows, [at])

    if file.part is None:
        rest, test = cut(ordered(np.arange(len(file.label))))
        parts = [*cut(rest), test]
    else:
        train, test = (ordered(np.flatnonzero(file.part == name)) for name in ("train", "test"))
        dev = ordered(np.flatnonzero(file.part == "dev"))
        parts = [train, dev, test] if len(dev) else [*cut(train), test]
    for name, rows in zip(("training", "dev", "test"), parts, strict=True):
        if not len(rows):
            raise InputError(f"{path}: leaves no row for {name}; add rows of other times")
    if file.time is not None:
        if (count := len(np.unique(file.time[parts[0]]))) < _SESSIONS:
            raise InputError(
                f"{path}: time has {count} values in training; expected {_SESSIONS} or more, as "
                "the later judge the earlier: give a finer one, or drop time"
            )
        for earlier, later in itertools.pairwise(parts):
            if file.time[earlier[-1]] > file.time[later[0]]:
                raise InputError(
                    f"{path}: row {earlier[-1]} is later than row {later[0]}, which split puts "
                    "after it; expected train, dev and test in the order of time: mend split, or "
                    "drop time"
                )
    return parts[0], parts[1], parts[2]


def _clean(
    x: _X, label: np.ndarray, split: _Split, rng: np.random.Generator
) -> tuple[_X, np.ndarray]:
    return x, label


def _noise(
    x: _X, label: np.ndarray, split: _Split, rng: np.random.Generator
) -> tuple[_X, np.ndarray]:
    noisy = {}
    for name, values in x.items():
        hit = rng.random((len(label), 1)) < _NOISY
        shown = values[split["train"]][~_absent(values[split["train"]])]
        deviation = _NOISE * (shown.std(0) if len(shown) else np.zeros(values.shape[1]))
        noisy[name] = values + hit * deviation * rng.normal(size=values.shape)
    return noisy, label


def _missing(
    x: _X, label: np.ndarray, split: _Split, rng: np.random.Generator
) -> tuple[_X, np.ndarray]:
    absent = np.stack([_absent(values) for values in x.values()], 1)
    rows, count = np.arange(len(label)), len(x)
    missing = rng.random((len(rows), count)) < _MISSING
    spared = rng.integers(count, size=len(rows))
    spared = np.where(absent[rows, spared], (~absent).argmax(1), spared)
    missing[rows, spared] &= ~(missing | absent).all(1)
    return {
        name: np.where(missing[:, [i]], np.nan, values)
        for i, (name, values) in enumerate(x.items())
    }, label


def _conflict(
    x: _X, label: np.ndarray, split: _Split, rng: np.random.Generator
) -> tuple[_X, np.ndarray]:
    test, names = split["test"], [*x]
    out = {name: values.copy() for name, values in x.items()}
    for row in rng.choice(test, round(_CONFLICTING * len(test)), replace=False):
        name = names[rng.integers(len(names))]
        donors = test[(label[test] != label[row]) & ~_absent(x[name])[test]]
        if len(donors):
            out[name][row] = x[name][rng.choice(donors)]
    return out, label


def _junk(
    x: _X, label: np.ndarray, split: _Split, rng: np.random.Generator
) -> tuple[_X, np.ndarray]:
    names, out = [*x], dict(x)
    for i in range(_JUNK):
        dealt = x[names[i % len(names)]].copy()
        for rows in split.values():
            dealt[rows] = dealt[rng.permutation(rows)]
        out[f"junk_{i}"] = dealt
    return out, label


def _wrong_labels(
    x: _X, label: np.ndarray, split: _Split, rng: np.random.Generator
) -> tuple[_X, np.ndarray]:
    wrong = split["train"][rng.random(len(split["train"])) < _WRONG]
    classes, label = int(label.max()) + 1, label.copy()
    label[wrong] = (label[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return x, label


def _absent(values: Float[np.ndarray, "S _"]) -> Bool[np.ndarray, "S"]:
    return np.isnan(values).any(1)


_Spoil = Callable[[_X, np.ndarray, _Split, np.random.Generator], tuple[_X, np.ndarray]]
CORRUPTIONS: dict[str, _Spoil] = {
    "clean": _clean,
    "noise": _noise,
    "missing": _missing,
    "junk": _junk,
    "conflict": _conflict,
    "wrong_labels": _wrong_labels,
    "few": _clean,
    "few_junk": _junk,
}
