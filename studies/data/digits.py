"""Six views of 2,000 handwritten digits (UCI multiple features), spoilt in the ways fusions differ.

Unlike a market's, these rows have no time: a seeded shuffle stands in for it.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64

from fusionjax.errors import InputError
from studies.data.views import StudyLabels, Views, targets, views
from studies.names import JUNK, VIEWS

CLASSES = tuple("0123456789")
Corruption = Literal["clean", "noise", "missing", "conflict", "few", "junk", "wrong_labels"]

_DEV_SHARE = 0.2  # of the published training rows
_FEW_TRAIN, _FEW_DEV = 150, 200
_NOISY, _NOISE = 0.4, 5.0  # share of views; standard deviations of the feature
_MISSING = 0.5  # share of views
_CONFLICTING = 0.4  # share of test samples
_WRONG = 0.25  # share of training labels


def load(path: Path, seed: int, corruption: Corruption) -> Views:
    """Reads the views in the published split; "dev" is the last fifth of the shuffled train rows.

    - "clean": as published.
    - "noise": to 40 % of all views Gaussian noise of five times the feature's deviation is added.
    - "missing": half of all views are missing, never all of a sample's.
    - "conflict": for 40 % of the test samples one view is that of another class's test sample.
    - "wrong_labels": a quarter of the training rows are labelled with another digit.
    - "few": 150 training rows and 200 dev rows; the others are left out.
    - "junk": "few", and a copy of each view as ``junk_0``.. ``junk_5`` dealt to other samples of
      the same split.

    Args:
      path: the npz file: ``view1``..``view6``, ``label`` 0-9, ``split`` 0 train / 1 test.
      seed: of the shuffle and of what is spoilt.
      corruption: one of the above.

    Raises:
      InputError: the file is missing, damaged or not what its name says.
    """
    arrays = _read(path)
    rng = np.random.default_rng([seed, 23])
    shuffled = [rng.permutation(np.flatnonzero(arrays["split"] == part)) for part in (0, 1)]
    cut = len(shuffled[0]) - round(_DEV_SHARE * len(shuffled[0]))
    train, dev, test = shuffled[0][:cut], shuffled[0][cut:], shuffled[1]
    if corruption in ("few", "junk"):
        train, dev = train[:_FEW_TRAIN], dev[:_FEW_DEV]
    order = np.concatenate([train, dev, test])
    ends = [len(train), len(train) + len(dev)]
    time = np.arange(len(order))
    split = dict(zip(("train", "dev", "test"), np.split(time, ends), strict=True))
    digit = arrays["label"][order].astype(np.int64)
    x = {name: arrays[name][order].astype(np.float64) for name in VIEWS}
    if corruption == "noise":
        for name in VIEWS:
            noisy = rng.random((len(order), 1)) < _NOISY
            deviation = _NOISE * x[name][split["train"]].std(0)
            x[name] = x[name] + noisy * deviation * rng.normal(size=x[name].shape)
    elif corruption == "missing":
        missing = rng.random((len(order), len(VIEWS))) < _MISSING
        missing[time, rng.integers(len(VIEWS), size=len(order))] &= ~missing.all(1)
        for i, name in enumerate(VIEWS):
            x[name][missing[:, i]] = np.nan
    elif corruption == "conflict":
        x = _in_conflict(x, digit, split["test"], rng)
    elif corruption == "junk":
        for name, junk in zip(VIEWS, JUNK, strict=True):
            x[junk] = x[name].copy()
            for rows in split.values():
                x[junk][rows] = x[name][rng.permutation(rows)]
    elif corruption == "wrong_labels":
        wrong = split["train"][rng.random(len(split["train"])) < _WRONG]
        digit[wrong] = (digit[wrong] + rng.integers(1, len(CLASSES), len(wrong))) % len(CLASSES)
    labels = StudyLabels(targets(direction=digit), classes=CLASSES)
    return views(x, labels, time, split, path)


def _read(path: Path) -> dict[str, np.ndarray]:
    needed = (*VIEWS, "label", "split")
    try:
        with np.load(path, allow_pickle=False) as f:
            lacks = [name for name in needed if name not in f]
            arrays = {} if lacks else {name: f[name] for name in needed}
    except FileNotFoundError as e:
        raise InputError(f"{path}: missing; it is handwritten.npz of the multiview data") from e
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as e:
        raise InputError(f"{path}: cannot be read as npz ({e}); copy it again") from e
    if lacks:
        raise InputError(f"{path}: lacks {', '.join(lacks)}; expected {', '.join(needed)}")
    lengths = {name: len(x) for name, x in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{path}: arrays differ in length: {lengths}; expected one row a sample")
    for name in VIEWS:
        bad = np.flatnonzero(~np.isfinite(arrays[name]).all(1))
        if len(bad):
            raise InputError(f"{path}: {name} row {bad[0]} is not finite ({len(bad)} such rows)")
    if not np.isin(arrays["label"], np.arange(len(CLASSES))).all():
        raise InputError(f"{path}: label holds more than the digits 0-9")
    return arrays


def _in_conflict(
    x: dict[str, Float[np.ndarray, "S _"]],
    digit: Int64[np.ndarray, "S"],
    test: Int64[np.ndarray, "N"],
    rng: np.random.Generator,
) -> dict[str, Float[np.ndarray, "S _"]]:
    """For some test rows one view shows another test row's digit, a different one."""
    out = {name: values.copy() for name, values in x.items()}
    for row in rng.choice(test, round(_CONFLICTING * len(test)), replace=False):
        name = VIEWS[rng.integers(len(VIEWS))]
        out[name][row] = x[name][rng.choice(test[digit[test] != digit[row]])]
    return out
