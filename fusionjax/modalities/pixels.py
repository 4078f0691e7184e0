"""Summary and augmentation of modalities of grey pixels."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusionjax.modalities.base import Parts
from fusionjax.modalities.summary import mean_of_parts
from fusionjax.types import ImageInput


def pooled(
    frames: UInt8[np.ndarray, "B frames height width"], present: Bool[np.ndarray, "B"]
) -> Float[np.ndarray, "B F"]:
    """Mean brightness of up to 8 × 8 fields over all frames, 0 to 1; NaN where absent."""
    fields = mean_of_parts(mean_of_parts(frames, 2), 3).mean(1)
    return np.where(present[:, None], fields.reshape(len(fields), -1) / 255, np.nan)


def cut_out(
    pixels: UInt8[Array, "B *frames height width"], share: float, key: Array
) -> UInt8[Array, "B *frames height width"]:
    """Puts a black box with ``share`` of each side at a random place (DeVries & Taylor, 2017)."""
    if not share:
        return pixels
    inside = jnp.ones((len(pixels), *pixels.shape[-2:]), bool)
    for axis, axis_key in zip((1, 2), jax.random.split(key), strict=True):
        size = inside.shape[axis]
        start = jax.random.uniform(axis_key, (len(pixels), 1, 1)) * (1 - share) * size
        at = jnp.arange(size, dtype=jnp.float32).reshape((1, -1, 1) if axis == 1 else (1, 1, -1))
        inside &= (at >= start) & (at < start + share * size)
    inside = inside.reshape(len(pixels), *(1,) * (pixels.ndim - 3), *inside.shape[1:])
    return jnp.where(inside, jnp.uint8(0), pixels)


def moved(
    pixels: UInt8[Array, "B height width"], most: int, key: Array
) -> UInt8[Array, "B height width"]:
    """Shifts by up to ``most`` pixels along both axes; black fills the gap."""
    if not most:
        return pixels
    shifts = jax.random.randint(key, (len(pixels), 2), -most, most + 1)

    def shift_one(image: Array, shift: Int[Array, "2"]) -> Array:
        padded = jnp.pad(image, most)
        return jax.lax.dynamic_slice(padded, most - shift, image.shape)

    return jax.vmap(shift_one)(pixels, shifts)


def flipped(
    pixels: UInt8[Array, "B height width"], rate: float, key: Array
) -> UInt8[Array, "B height width"]:
    """Mirrors this share of the pictures, left to right."""
    if not rate:
        return pixels
    flip = jax.random.bernoulli(key, rate, (len(pixels), 1, 1))
    return jnp.where(flip, pixels[:, :, ::-1], pixels)


def fields(
    shape: tuple[int, int], rows: int, columns: int
) -> tuple[list[str], Bool[np.ndarray, "P height width"]]:
    """A picture in equal fields, row by row: the pixels of each in words, and where it is.

    Args:
      shape: height and width, in pixels.
      rows: of fields.
      columns: of fields.
    """
    down, across = (
        np.array_split(np.arange(n), count) for n, count in zip(shape, (rows, columns), strict=True)
    )
    inside = np.zeros((len(down) * len(across), *shape), bool)
    names = []
    for i, (y, x) in enumerate((y, x) for y in down for x in across):
        inside[i, y[0] : y[-1] + 1, x[0] : x[-1] + 1] = True
        names.append(f"rows {y[0]}-{y[-1]}, columns {x[0]}-{x[-1]}")
    return names, inside


def parts(picture: UInt8[np.ndarray, "height width"], most: int) -> list[Parts]:
    """A picture in up to ``most`` fields along each side."""
    rows, columns = (min(most, n) for n in picture.shape)
    names, inside = fields(picture.shape, rows, columns)
    return [Parts("patch", names, ImageInput(inside))]
