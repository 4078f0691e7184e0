"""Six views of digits: the published split, each corruption at its rate, one seed one result."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from sklearn.linear_model import LogisticRegression

from fusionjax.errors import InputError
from studies.data import digits
from studies.data.views import Views

DIGITS = ROOT.parent / "shared" / "datasets" / "multiview" / "handwritten.npz"
WIDTHS = (240, 76, 216, 47, 64, 6)


def x_of(loaded: Views, name: str) -> np.ndarray:
    return loaded.batch.inputs[name].x


def tiny(path: Path, **changes: np.ndarray) -> Path:
    """40 samples, 32 of them for training; every value of a sample is its number."""
    value = np.arange(40, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    arrays = dict.fromkeys(digits.VIEWS, value)
    arrays |= {"label": np.arange(40) % 10, "split": (np.arange(40) >= 32).astype(np.int8)}
    np.savez(path, **(arrays | changes))
    return path


@pytest.mark.shared_data
def test_the_published_split_and_what_simple_models_reach() -> None:
    clean = digits.load(DIGITS, 0, "clean")
    assert clean.names == digits.VIEWS
    assert tuple(x_of(clean, name).shape[1] for name in clean.names) == WIDTHS
    assert {k: len(v) for k, v in clean.split.items()} == {"train": 1280, "dev": 320, "test": 400}
    assert all(clean.batch.present[name].all() for name in clean.names)
    digit = clean.batch.targets.label["direction"][:, 0]
    assert np.bincount(digit[clean.split["test"]]).tolist() == [40] * 10
    joined = np.concatenate([x_of(clean, name) for name in clean.names], axis=1)
    train, test = clean.split["train"], clean.split["test"]
    model = LogisticRegression(C=0.1, max_iter=500).fit(joined[train], digit[train])
    assert model.score(joined[test], digit[test]) > 0.97


@pytest.mark.shared_data
def test_corruption_rates() -> None:
    clean, missing = digits.load(DIGITS, 3, "clean"), digits.load(DIGITS, 3, "missing")
    here = np.stack(list(missing.batch.present.values()), axis=1)
    assert here.any(1).all()
    for rows in missing.split.values():
        assert 0.45 < here[rows].mean() < 0.55

    conflict = digits.load(DIGITS, 3, "conflict")
    changed = np.stack(
        [(x_of(conflict, name) != x_of(clean, name)).any(1) for name in digits.VIEWS], axis=1
    )
    assert not changed[: clean.split["test"][0]].any()
    assert changed.sum() == 160
    assert changed.sum(1).max() == 1
    digit = clean.batch.targets.label["direction"][:, 0]
    for row, view in zip(*np.nonzero(changed), strict=True):
        name = digits.VIEWS[view]
        donors = np.flatnonzero((x_of(clean, name) == x_of(conflict, name)[row]).all(1))
        assert (digit[donors] != digit[row]).all()
        assert np.isin(donors, clean.split["test"]).any()


def test_noise_hits_two_in_five_views_by_five_deviations(tmp_path: Path) -> None:
    """Every clean feature is 1 or -1, so that an untouched row keeps one of two values."""
    coin = np.where(np.arange(4000)[:, None] % 2, 1, -1) * np.ones(3, np.float32)
    path = tiny(
        tmp_path / "coins.npz",
        **dict.fromkeys(digits.VIEWS, coin),
        label=np.arange(4000) % 10,
        split=(np.arange(4000) >= 3200).astype(np.int8),
    )
    noise = digits.load(path, 0, "noise")
    noisy = []
    for name in noise.names:
        values, counts = np.unique(x_of(noise, name)[:, 0], return_counts=True)
        low, high = np.sort(values[np.argsort(counts)[-2:]])
        touched = ~np.isin(x_of(noise, name)[:, 0], (low, high))
        assert (x_of(noise, name)[touched].std(0) * 2 / (high - low) > 4.5).all()
        assert (x_of(noise, name)[touched].std(0) * 2 / (high - low) < 5.7).all()
        noisy.append(touched)
    for rows in noise.split.values():
        np.testing.assert_allclose(np.stack(noisy)[:, rows].mean(1), 0.4, atol=0.08)
    together = np.mean(noisy[0] & noisy[1])
    assert 0.12 < together < 0.2  # each view on its own: .16


@pytest.mark.shared_data
def test_few_and_junk() -> None:
    few, junk = digits.load(DIGITS, 3, "few"), digits.load(DIGITS, 3, "junk")
    for loaded in (few, junk):
        counts = {name: len(rows) for name, rows in loaded.split.items()}
        assert counts == {"train": 150, "dev": 200, "test": 400}
        assert len(loaded.time) == 750
    assert junk.names == (*digits.VIEWS, *(f"junk_{i}" for i in range(6)))
    for i, name in enumerate(digits.VIEWS):
        np.testing.assert_array_equal(x_of(junk, name), x_of(few, name))
        for rows in junk.split.values():
            real, copied = x_of(junk, name)[rows], x_of(junk, f"junk_{i}")[rows]
            assert sorted(map(tuple, real)) == sorted(map(tuple, copied))
            assert (real != copied).any(1).mean() > 0.9


@pytest.mark.shared_data
@pytest.mark.parametrize("corruption", ["clean", "noise", "missing", "conflict", "few", "junk"])
def test_one_seed_one_result(corruption: digits.Corruption) -> None:
    first, again, other = (digits.load(DIGITS, seed, corruption) for seed in (1, 1, 2))
    for name in first.names:
        np.testing.assert_array_equal(x_of(first, name), x_of(again, name))
        assert not np.array_equal(x_of(first, name), x_of(other, name))
    labels = [v.batch.targets.label["direction"] for v in (first, again, other)]
    np.testing.assert_array_equal(labels[0], labels[1])
    assert not np.array_equal(labels[0], labels[2])


def test_a_row_keeps_its_label_through_the_shuffle(tmp_path: Path) -> None:
    loaded = digits.load(tiny(tmp_path / "tiny.npz"), 0, "clean")
    assert {k: len(v) for k, v in loaded.split.items()} == {"train": 26, "dev": 6, "test": 8}
    rank = np.argsort(np.argsort(x_of(loaded, "view1")[:, 0]))  # the values are 0..39
    np.testing.assert_array_equal(loaded.batch.targets.label["direction"][:, 0], rank % 10)
    assert sorted(rank[loaded.split["test"]]) == list(range(32, 40))
    np.testing.assert_array_equal(loaded.known, loaded.time + 1)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.npz: missing"):
        digits.load(tmp_path / "gone.npz", 0, "clean")
    path = tmp_path / "bad.npz"
    path.write_bytes(b"PK not really")
    with pytest.raises(InputError, match=r"bad.npz: cannot be read as npz"):
        digits.load(path, 0, "clean")
    np.savez(path, view1=np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"bad.npz: lacks view2, .*, label, split; expected"):
        digits.load(path, 0, "clean")
    spoilt = np.where(np.arange(40)[:, None] == 7, np.nan, 1) * np.ones(3)
    with pytest.raises(InputError, match=r"view3 row 7 is not finite \(1 such rows\)"):
        digits.load(tiny(path, view3=spoilt), 0, "clean")
    with pytest.raises(InputError, match=r"arrays differ in length"):
        digits.load(tiny(path, view3=np.zeros((39, 3))), 0, "clean")
    with pytest.raises(InputError, match=r"label holds more than the digits 0-9"):
        digits.load(tiny(path, label=np.arange(40)), 0, "clean")
