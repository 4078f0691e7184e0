"""Training inputs changed at random, so that what is easy to exploit is not what is learned.

All on the device, as functions of the batch and a key: the same on any mesh and in a resumed run.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from fusionjax.config import AugmentConfig, Config, ImageConfig, NumericConfig
from fusionjax.types import Batch, Clip, Documents, Image, Input, Series, Waveform


def augment(batch: Batch, config: Config, key: Array) -> Batch:
    """Applies ``config.augment`` to every input, then hides modalities.

    A setting of zero does nothing and costs nothing. Labels and presence stay what they are, but
    for the modalities that are hidden.
    """
    if any(dataclasses.astuple(config.augment)):
        inputs = {  # in a fixed order: jit sorts the keys of a dict
            name: _changed(batch.inputs[name], config, name, jax.random.fold_in(key, i))
            for i, name in enumerate(config.modalities)
        }
        batch = dataclasses.replace(batch, inputs=inputs)
    return hide_modalities(batch, config.train.modality_dropout, key)


def hide_modalities(batch: Batch, rate: float, key: Array) -> Batch:
    """Marks each present modality absent with probability ``rate``, but never a sample's last.

    ModDrop (Neverova et al., 2016): it keeps the model usable when a feed fails.
    """
    names = list(batch.present)
    here = jnp.stack([batch.present[n] for n in names], 1)
    kept = here & jax.random.bernoulli(key, 1 - rate, here.shape)
    kept = jnp.where(kept.any(1, keepdims=True), kept, here)
    return dataclasses.replace(batch, present={n: kept[:, i] for i, n in enumerate(names)})


def _changed(value: Input, config: Config, name: str, key: Array) -> Input:
    a, spec = config.augment, config.modalities[name]
    if isinstance(value, Series):
        channels = spec.channels if isinstance(spec, NumericConfig) else ()  # frames have no names
        return _series(value, channels, a, key)
    if isinstance(value, Documents):
        return _documents(value, a, key)
    if isinstance(value, Waveform):
        return _sound(value, a, key)
    if isinstance(value, Clip):
        return Clip(_cut_out(value.pixels, a.image_cutout, key))
    if isinstance(value, Image):
        cut_key, move_key, flip_key = jax.random.split(key, 3)
        pixels = _cut_out(value.pixels, a.image_cutout, cut_key)
        if isinstance(spec, ImageConfig):  # a drawn chart's place and direction are its meaning
            pixels = _flipped(_moved(pixels, a.image_shift, move_key), a.image_flip, flip_key)
        return Image(pixels)
    return value


def _series(value: Series, channels: tuple[str, ...], a: AugmentConfig, key: Array) -> Series:
    """Groups of channels from another sample, one scale a window, jitter, a later beginning."""
    rows, sessions = value.mask.shape
    swap_key, scale_key, jitter_key, slice_key = jax.random.split(key, 4)
    x, mask = value.x, value.mask
    for i, group in enumerate(a.numeric_groups if channels and a.numeric_permute else ()):
        at = jnp.array([c in group for c in channels])
        who, by = jax.random.split(jax.random.fold_in(swap_key, i))
        other = jnp.roll(x, jax.random.randint(by, (), 1, max(rows, 2)), axis=0)
        swapped = jax.random.bernoulli(who, a.numeric_permute, (rows, 1, 1))
        x = jnp.where(swapped & at[None, None], other, x)
    if a.numeric_scale:
        x *= jnp.exp(a.numeric_scale * jax.random.normal(scale_key, (rows, 1, 1)))
    if a.numeric_jitter:
        x += a.numeric_jitter * jax.random.normal(jitter_key, x.shape)
    if a.numeric_slice:
        lost = jax.random.uniform(slice_key, (rows, 1)) * a.numeric_slice * sessions
        later = mask & (jnp.arange(sessions, dtype=jnp.float32)[None] >= lost)
        mask = jnp.where(later.any(1, keepdims=True), later, mask)
    return Series(jnp.where(mask[..., None], x, 0.0), mask)


def _documents(value: Documents, a: AugmentConfig, key: Array) -> Documents:
    """Some texts left out, never the newest; some samples' authors unknown."""
    drop_key, author_key = jax.random.split(key)
    if a.text_dropout:
        kept = jax.random.bernoulli(drop_key, 1 - a.text_dropout, value.mask.shape)
        value = dataclasses.replace(value, mask=value.mask & kept.at[:, -1].set(True))
    if a.author_masking:
        hidden = jax.random.bernoulli(author_key, a.author_masking, (len(value.author), 1))
        value = dataclasses.replace(value, author=jnp.where(hidden, 0, value.author))
    return value


def _cut_out(
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


def _moved(
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


def _flipped(
    pixels: UInt8[Array, "B height width"], rate: float, key: Array
) -> UInt8[Array, "B height width"]:
    if not rate:
        return pixels
    flip = jax.random.bernoulli(key, rate, (len(pixels), 1, 1))
    return jnp.where(flip, pixels[:, :, ::-1], pixels)


def _sound(value: Waveform, a: AugmentConfig, key: Array) -> Waveform:
    """A span of time and a band of frequencies silenced (Park et al., SpecAugment, 2019)."""
    if not (a.audio_time or a.audio_band):
        return value
    time_key, band_key = jax.random.split(key)
    x = value.samples.astype(jnp.float32)
    if a.audio_time:
        x *= _hole(time_key, len(x), x.shape[1], a.audio_time)
    if a.audio_band:
        spectrum = jnp.fft.rfft(x)
        open_band = _hole(band_key, len(x), spectrum.shape[1], a.audio_band)
        x = jnp.fft.irfft(spectrum * open_band.astype(spectrum.dtype), x.shape[1])
    samples = jnp.clip(jnp.rint(x), -32768, 32767).astype(value.samples.dtype)
    return Waveform(samples, value.length)


def _hole(key: Array, rows: int, size: int, most: float) -> Float[Array, "B S"]:
    """1, but 0 on a stretch of up to ``most`` of each row."""
    width_key, start_key = jax.random.split(key)
    width = jax.random.uniform(width_key, (rows, 1)) * most * size
    start = jax.random.uniform(start_key, (rows, 1)) * (size - width)
    at = jnp.arange(size, dtype=jnp.float32)[None]
    return 1.0 - ((at >= start) & (at < start + width)).astype(jnp.float32)
