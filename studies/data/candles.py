"""222 screenshots of five candles each, labelled by the trend that they show (candle5)."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from fusionjax.data.media import require_packages
from fusionjax.errors import InputError
from fusionjax.types import Batch, ImageInput
from studies.data.views import Views, targets
from studies.names import CANDLES

CLASSES = ("down", "side", "up")
_SIZE = 80  # pixels a side: a candle of five is then 16 wide
_COPIES = 32  # of each training picture
_SHRINK = 0.75  # the least height of a copy, as a share
_SHIFT = 4  # pixels that a copy is moved to either side, at most
_OUTLINE, _BODY = 48, 212  # brightness of a hollow candle's edge and of a filled one
_INK, _WICK = 12, 7  # what is brighter is drawn; what is narrower, in pixels, is no body


def load(root: Path, seed: int) -> Views:
    """Reads ``down/``, ``side/`` and ``up/``; a random third is for test.

    Every training picture comes 32 times: mirrored, upside down or both, a little lower and to a
    side. A trend read backwards, or upside down, is the opposite one, and its hollow candles are
    the filled ones of the other. Brightness is its square root, or outlines would hardly be seen.

    Args:
      root: the folder of the three.
      seed: of the split and the copies.

    Raises:
      InputError: a folder is missing or empty, or a picture is damaged.
    """
    pixels, swapped, label = _read(root)
    rng = np.random.default_rng([seed, 31])
    order = rng.permutation(len(label))
    test, train = np.split(order, [len(label) // 3])
    copies = [_copy(pixels[i], swapped[i], int(label[i]), rng) for i in np.repeat(train, _COPIES)]
    shuffled = rng.permutation(len(copies))
    x = np.concatenate([np.stack([copies[i][0] for i in shuffled]), pixels[test]])
    y = np.concatenate([[copies[i][1] for i in shuffled], label[test]])
    count, ends = len(y), len(copies)
    time = np.arange(count)
    batch = Batch(
        inputs={CANDLES: ImageInput(x)},
        present={CANDLES: np.ones(count, bool)},
        targets=targets(direction=y),
        log_scale=np.zeros(count, np.float32),
        weight=np.ones(count, np.float32),
        sample_id=time.astype(np.int32),
    )
    return Views(batch, time, time + 1, {"train": time[:ends], "test": time[ends:]}, CLASSES)


def _read(
    root: Path,
) -> tuple[UInt8[np.ndarray, "S 80 80"], UInt8[np.ndarray, "S 80 80"], Int64[np.ndarray, "S"]]:
    """Pictures, the same with hollow and filled candles exchanged, and their classes."""
    require_packages()
    from PIL import Image as Picture

    pixels, swapped, label = [], [], []
    for i, name in enumerate(CLASSES):
        paths = sorted((root / name).glob("*.png"))
        if not paths:
            raise InputError(f"{root / name}: no PNG; expected pictures of candles going {name}")
        for path in paths:
            try:
                with Picture.open(path, formats=["PNG"]) as f:
                    black = Picture.new("RGBA", f.size, "black")
                    black.alpha_composite(f.convert("RGBA"))
            except (OSError, SyntaxError, ValueError) as e:
                raise InputError(f"{path}: cannot be decoded ({e}); copy it again") from e
            picture = np.asarray(black.convert("L"))
            pixels.append(_small(picture))
            swapped.append(_small(_exchanged(picture)))
            label.append(i)
    return np.stack(pixels), np.stack(swapped), np.array(label, np.int64)


def _small(picture: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "80 80"]:
    from PIL import Image as Picture

    small = Picture.fromarray(picture).resize((_SIZE, _SIZE), Picture.Resampling.BILINEAR)
    return np.rint(np.sqrt(np.asarray(small) * 255.0)).astype(np.uint8)


def _exchanged(picture: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    """Hollow candles filled, filled ones hollowed."""
    from scipy import ndimage

    filled = ndimage.binary_fill_holes(picture > _INK)
    bodies, count = ndimage.label(ndimage.binary_opening(filled, np.ones((1, _WICK))))
    out = picture.copy()
    for i in range(1, count + 1):
        body = bodies == i
        if np.median(picture[body]) > (_OUTLINE + _BODY) / 2:
            out[body] = _OUTLINE
            out[ndimage.binary_erosion(body)] = 0
        else:
            out[body] = _BODY
    return out


def _copy(
    picture: UInt8[np.ndarray, "80 80"],
    exchanged: UInt8[np.ndarray, "80 80"],
    label: int,
    rng: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "80 80"], int]:
    from PIL import Image as Picture

    flips = tuple(axis for axis in (0, 1) if rng.random() < 0.5)
    if len(flips) == 1:
        picture, label = exchanged, len(CLASSES) - 1 - label
    picture = np.flip(picture, flips)
    height = round(_SIZE * rng.uniform(_SHRINK, 1))
    lower = Picture.fromarray(picture).resize((_SIZE, height), Picture.Resampling.BILINEAR)
    top, left = rng.integers(0, _SIZE - height + 1), rng.integers(0, 2 * _SHIFT + 1)
    wide = np.zeros((_SIZE, _SIZE + 2 * _SHIFT), np.uint8)
    wide[top : top + height, _SHIFT:-_SHIFT] = np.asarray(lower)
    return wide[:, left : left + _SIZE], label
