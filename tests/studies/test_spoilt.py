"""Views as they are and spoilt: each corruption at its rate, one seed one result, any file."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from sklearn.linear_model import LogisticRegression

from fusionjax.errors import InputError
from studies.data import spoilt
from studies.data.views import Views

DIGITS = ROOT.parent / "shared" / "datasets" / "multiview" / "handwritten.npz"
NAMES = tuple(f"view{i}" for i in range(1, 7))
WIDTHS = (240, 76, 216, 47, 64, 6)


def x_of(loaded: Views, name: str) -> np.ndarray:
    return loaded.batch.inputs[name].x


def tiny(path: Path, **changes: np.ndarray) -> Path:
    """60 samples, 48 of them for training; every value of a sample is its number."""
    value = np.arange(60, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    arrays = dict.fromkeys(NAMES, value)
    arrays |= {"label": np.arange(60) % 10, "split": (np.arange(60) >= 48).astype(np.int8)}
    np.savez(path, **(arrays | changes))
    return path


@pytest.mark.shared_data
def test_the_published_split_and_what_simple_models_reach() -> None:
    clean = spoilt.load(DIGITS, 0, "clean")
    assert clean.names == NAMES
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
    clean, missing = spoilt.load(DIGITS, 3, "clean"), spoilt.load(DIGITS, 3, "missing")
    here = np.stack(list(missing.batch.present.values()), axis=1)
    assert here.any(1).all()
    for rows in missing.split.values():
        assert 0.45 < here[rows].mean() < 0.55

    conflict = spoilt.load(DIGITS, 3, "conflict")
    changed = np.stack(
        [(x_of(conflict, name) != x_of(clean, name)).any(1) for name in NAMES], axis=1
    )
    assert not changed[: clean.split["test"][0]].any()
    assert changed.sum() == 160
    assert changed.sum(1).max() == 1
    digit = clean.batch.targets.label["direction"][:, 0]
    for row, view in zip(*np.nonzero(changed), strict=True):
        name = NAMES[view]
        donors = np.flatnonzero((x_of(clean, name) == x_of(conflict, name)[row]).all(1))
        assert (digit[donors] != digit[row]).all()
        assert np.isin(donors, clean.split["test"]).any()


def test_noise_hits_two_in_five_views_by_five_deviations(tmp_path: Path) -> None:
    """Every clean feature is 1 or -1, so that an untouched row keeps one of two values."""
    coin = np.where(np.arange(4000)[:, None] % 2, 1, -1) * np.ones(3, np.float32)
    path = tiny(
        tmp_path / "coins.npz",
        **dict.fromkeys(NAMES, coin),
        label=np.arange(4000) % 10,
        split=(np.arange(4000) >= 3200).astype(np.int8),
    )
    noise = spoilt.load(path, 0, "noise")
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
    few, junk = spoilt.load(DIGITS, 3, "few"), spoilt.load(DIGITS, 3, "few_junk")
    for loaded in (few, junk):
        counts = {name: len(rows) for name, rows in loaded.split.items()}
        assert counts == {"train": 150, "dev": 200, "test": 400}
        assert len(loaded.time) == 750
    assert junk.names == (*NAMES, *(f"junk_{i}" for i in range(4)))
    for i, name in enumerate(NAMES[:4]):
        np.testing.assert_array_equal(x_of(junk, name), x_of(few, name))
        for rows in junk.split.values():
            real, copied = x_of(junk, name)[rows], x_of(junk, f"junk_{i}")[rows]
            assert sorted(map(tuple, real)) == sorted(map(tuple, copied))
            assert (real != copied).any(1).mean() > 0.9


@pytest.mark.shared_data
@pytest.mark.parametrize("corruption", spoilt.CORRUPTIONS)
def test_one_seed_one_result(corruption: str) -> None:
    first, again, other = (spoilt.load(DIGITS, seed, corruption) for seed in (1, 1, 2))
    for name in first.names:
        np.testing.assert_array_equal(x_of(first, name), x_of(again, name))
        assert not np.array_equal(x_of(first, name), x_of(other, name))
    labels = [v.batch.targets.label["direction"] for v in (first, again, other)]
    np.testing.assert_array_equal(labels[0], labels[1])
    assert not np.array_equal(labels[0], labels[2])


def test_a_row_keeps_its_label_through_the_shuffle(tmp_path: Path) -> None:
    loaded = spoilt.load(tiny(tmp_path / "tiny.npz"), 0, "clean")
    assert {k: len(v) for k, v in loaded.split.items()} == {"train": 38, "dev": 10, "test": 12}
    rank = np.argsort(np.argsort(x_of(loaded, "view1")[:, 0]))  # the values are 0..59
    np.testing.assert_array_equal(loaded.batch.targets.label["direction"][:, 0], rank % 10)
    assert sorted(rank[loaded.split["test"]]) == list(range(48, 60))
    np.testing.assert_array_equal(loaded.known, loaded.time + 1)
    assert not loaded.dated


def test_any_views_and_classes_are_a_study(tmp_path: Path) -> None:
    """Two views, classes by name, no split: a fifth is held back, and a fifth of the others."""
    rng = np.random.default_rng(0)
    path = tmp_path / "own.npz"
    here = np.arange(100) % 4 > 0
    np.savez(
        path,
        view_a=rng.normal(size=(100, 2)),
        view_b=rng.normal(size=(100, 5)),
        present_a=here,
        label=np.array(["no", "yes", "so"])[np.arange(100) % 3],
    )
    for corruption in spoilt.CORRUPTIONS:
        loaded = spoilt.load(path, 1, corruption)
        assert loaded.classes == ("no", "so", "yes")
        counts = {k: len(v) for k, v in loaded.split.items()}
        assert counts == {"train": 64, "dev": 16, "test": 20}
        assert [n for n in loaded.names if "junk" not in n] == ["view_a", "view_b"]
        assert loaded.batch.present["view_a"].mean() < 0.8, "what the file lacks stays missing"
        assert np.any([*loaded.batch.present.values()], axis=0).all()


def test_rows_with_a_time_keep_its_order_and_sessions_stay_whole(tmp_path: Path) -> None:
    path, shuffled = tmp_path / "own.npz", np.random.default_rng(0).permutation(100)
    session = np.arange(100) // 4
    day = np.datetime64("2020-01-01") + session
    value = np.arange(100.0)[:, None]
    arrays = {"view_a": value, "label": np.arange(100) % 2, "time": day}
    np.savez(path, **{k: x[shuffled] for k, x in arrays.items()})
    loaded = spoilt.load(path, 3, "clean")
    assert loaded.dated
    label = loaded.batch.targets.label["direction"][:, 0]
    rank = np.argsort(np.argsort(x_of(loaded, "view_a")[:, 0]))
    np.testing.assert_array_equal(session[rank], session)
    np.testing.assert_array_equal(label, rank % 2)
    np.testing.assert_array_equal(loaded.time, session)
    ends = [loaded.time[rows[-1]] for rows in loaded.split.values()]
    starts = [loaded.time[rows[0]] for rows in loaded.split.values()]
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))
    np.savez(path, **arrays, split=np.arange(100) < 20)
    with pytest.raises(InputError, match=r"own.npz: row 99 is later than row 0, which split puts"):
        spoilt.load(path, 0, "clean")
    np.savez(path, **(arrays | {"time": np.arange(100) // 20}))
    with pytest.raises(
        InputError, match=r"own.npz: time has 3 values in training; expected 10 or m"
    ):
        spoilt.load(path, 0, "clean")
    np.savez(path, **(arrays | {"time": np.zeros(100, int)}))
    with pytest.raises(InputError, match=r"own.npz: leaves no row for training; add rows of other"):
        spoilt.load(path, 0, "clean")


def test_a_corruption_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"variant is 'nois'; expected clean, .*did you mean 'noi"):
        spoilt.load(tiny(tmp_path / "tiny.npz"), 0, "nois")
