"""Real candlestick screenshots: read whole, split by seed, mirrored with their labels."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from fusionjax.errors import InputError
from fusionjax.types import ImageInput
from studies.data import candles

CANDLE5 = ROOT.parent / "shared" / "datasets" / "candle5"


def pixels(seed: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    views = candles.load(CANDLE5, seed)
    image = views.batch.inputs["chart"]
    assert isinstance(image, ImageInput)
    return np.asarray(image.pixels), views.batch.targets.label["direction"][:, 0], views.split


@pytest.mark.shared_data
def test_a_third_is_held_back_and_no_copy_of_it_is_trained_on() -> None:
    assert CANDLE5.is_dir(), "put the shared datasets beside the checkout"
    x, y, split = pixels(0)
    assert x.shape == (148 * 32 + 74, 80, 80)
    assert (len(split["train"]), len(split["test"])) == (148 * 32, 74)
    originals = pixels_of_all()
    held = {row.tobytes() for row in x[split["test"]]}
    assert len(held) == 74
    assert held <= set(originals)
    assert [originals[row.tobytes()] for row in x[split["test"]]] == y[split["test"]].tolist()
    for axes in ((), (1,), (2,), (1, 2)):
        trained = {row.tobytes() for row in np.flip(x[split["train"]], axes)}
        assert not held & trained
    other = {row.tobytes() for row in pixels(1)[0][-74:]}
    assert other != held


def pixels_of_all() -> dict[bytes, int]:
    x, _, y = candles._read(CANDLE5)
    assert np.bincount(y).tolist() == [74, 74, 74]
    return {row.tobytes(): int(label) for row, label in zip(x, y, strict=True)}


def test_a_mirrored_trend_is_the_opposite_one() -> None:
    falling = np.diag(np.full(80, 200, np.uint8))  # row 0 is the top
    seen = set()
    for seed in range(20):
        copy, label = candles._copy(falling, falling, 0, np.random.default_rng(seed))
        rows, columns = np.nonzero(copy > 50)
        falls = np.corrcoef(rows, columns)[0, 1] > 0
        assert label == (0 if falls else 2)
        seen.add(label)
        height = rows.max() - rows.min() + 1
        assert 0.7 * 80 < height <= 80
    assert seen == {0, 2}


def test_hollow_candles_are_filled_and_filled_ones_hollowed() -> None:
    picture = np.zeros((40, 40), np.uint8)
    picture[8:30, 10] = 48  # the wicks of both
    picture[5:35, 28] = 48
    hollow, filled = (slice(12, 25), slice(4, 17)), (slice(10, 20), slice(22, 35))
    picture[hollow] = 48
    picture[13:24, 5:16] = 0
    picture[filled] = 212
    out = candles._exchanged(picture)
    assert (out[hollow] == 212).all()
    assert (out[11:19, 23:34] == 0).all()
    assert (out[10, 22:35] == 48).all()
    np.testing.assert_array_equal(out[20:, 28], picture[20:, 28])  # a wick stays a wick
    np.testing.assert_array_equal(candles._exchanged(out)[filled], picture[filled])


def test_only_one_flip_exchanges_them() -> None:
    rng = np.random.default_rng(0)
    picture, exchanged = np.full((80, 80), 100, np.uint8), np.full((80, 80), 200, np.uint8)
    for _ in range(30):
        copy, label = candles._copy(picture, exchanged, 0, rng)
        assert copy.max() == (100 if label == 0 else 200)


@pytest.mark.shared_data
def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    root = Path(shutil.copytree(CANDLE5, tmp_path / "candles"))
    broken = sorted((root / "side").glob("*.png"))[3]
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(InputError, match=f"{broken.name}: cannot be decoded .*; copy it again"):
        candles.load(root, 0)
    shutil.rmtree(root / "up")
    broken.unlink()
    with pytest.raises(InputError, match="up: no PNG; expected pictures of candles going up"):
        candles.load(root, 0)
