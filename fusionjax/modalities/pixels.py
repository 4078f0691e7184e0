"""What modalities of grey pixels have in common: their summary and their augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusionjax.modalities.summary import mean_of_parts


def pooled(
    frames: UInt8[np.ndarray, "B frames height width"], present: Bool[np.ndarray, "B"]
) -> Float[np.ndarray, "B F"]:
    """Mean brightness of each field over all frames, 0 to 1; NaN where absent."""
    fields = mean_of_parts(mean_of_parts(frames, 2), 3).mean(1)
    return np.where(present[:, None], fields.reshape(len(fields), -1) / 255, np.nan)


def cut_out(
    pixels: UInt8[Array, "B *frames height width"], share: float, key: Array
) -> UInt8[Array, "B *frames height width"]:
    """A black box of this share of each side, anywhere (DeVries & Taylor, 2017)."""
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
    """Shifted by up to ``most`` pixels along both axes; black comes in."""
    if not most:
        return pixels
    by = jax.random.randint(key, (len(pixels), 2), -most, most + 1)

    def one(image: Array, shift: Int[Array, "2"]) -> Array:
        padded = jnp.pad(image, most)
        return jax.lax.dynamic_slice(padded, most - shift, image.shape)

    return jax.vmap(one)(pixels, by)


def flipped(
    pixels: UInt8[Array, "B height width"], rate: float, key: Array
) -> UInt8[Array, "B height width"]:
    """Left and right exchanged in this share of the pictures."""
    if not rate:
        return pixels
    flip = jax.random.bernoulli(key, rate, (len(pixels), 1, 1))
    return jnp.where(flip, pixels[:, :, ::-1], pixels)
