"""222 screenshots of five candles each, labelled by the trend that they show (candle5)."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from fusionjax.data.media import require_packages
from fusionjax.data.views import Views, targets
from fusionjax.errors import InputError
from fusionjax.types import Batch, Image

CLASSES = ("down", "side", "up")
MODALITY = "chart"
_SIZE = 80  # pixels a side: a candle of five is then 16 wide
_COPIES = 16  # of each training picture
_SHRINK = 0.75  # the least height of a copy, as a share


def load(root: Path, seed: int) -> Views:
    """Reads ``down/``, ``side/`` and ``up/``; a random third is for test.

    Every training picture comes 16 times: mirrored, upside down or both, a little lower. A trend
    read backwards, or upside down, is the opposite one.

    Args:
      root: the folder of the three.
      seed: of the split and the copies.

    Raises:
      InputError: a folder is missing or empty, or a picture is damaged.
    """
    pixels, label = _read(root)
    rng = np.random.default_rng([seed, 31])
    order = rng.permutation(len(label))
    test, train = np.split(order, [len(label) // 3])
    copies = [_copy(pixels[i], int(label[i]), rng) for i in np.repeat(train, _COPIES)]
    shuffled = rng.permutation(len(copies))
    x = np.concatenate([np.stack([copies[i][0] for i in shuffled]), pixels[test]])
    y = np.concatenate([[copies[i][1] for i in shuffled], label[test]])
    count, ends = len(y), len(copies)
    time = np.arange(count)
    batch = Batch(
        inputs={MODALITY: Image(x)},
        present={MODALITY: np.ones(count, bool)},
        targets=targets(direction=y),
        log_scale=np.zeros(count, np.float32),
        weight=np.ones(count, np.float32),
        sample_id=time.astype(np.int32),
    )
    return Views(batch, time, time + 1, {"train": time[:ends], "test": time[ends:]}, CLASSES)


def _read(root: Path) -> tuple[UInt8[np.ndarray, "S 80 80"], Int64[np.ndarray, "S"]]:
    require_packages()
    from PIL import Image as Picture

    pixels, label = [], []
    for i, name in enumerate(CLASSES):
        found = sorted((root / name).glob("*.png"))
        if not found:
            raise InputError(f"{root / name}: no PNG; expected pictures of candles going {name}")
        for path in found:
            try:
                with Picture.open(path, formats=["PNG"]) as f:
                    black = Picture.new("RGBA", f.size, "black")
                    black.alpha_composite(f.convert("RGBA"))
            except (OSError, SyntaxError, ValueError) as e:
                raise InputError(f"{path}: cannot be decoded ({e}); copy it again") from e
            small = black.convert("L").resize((_SIZE, _SIZE), Picture.Resampling.BILINEAR)
            pixels.append(np.asarray(small))
            label.append(i)
    return np.stack(pixels), np.array(label, np.int64)


def _copy(
    picture: UInt8[np.ndarray, "80 80"], label: int, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "80 80"], int]:
    from PIL import Image as Picture

    for axis in (0, 1):
        if rng.random() < 0.5:
            picture, label = np.flip(picture, axis), len(CLASSES) - 1 - label
    height = round(_SIZE * rng.uniform(_SHRINK, 1))
    lower = Picture.fromarray(picture).resize((_SIZE, height), Picture.Resampling.BILINEAR)
    out = np.zeros((_SIZE, _SIZE), np.uint8)
    top = rng.integers(0, _SIZE - height + 1)
    out[top : top + height] = np.asarray(lower)
    return out, label
