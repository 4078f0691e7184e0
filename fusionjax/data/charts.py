"""Candlestick charts drawn from bars: three pixels a session, prices above, volume below.

The layout follows Jiang, Kelly & Xiu, "(Re-)Imag(in)ing Price Trends" (2023), with bodies for
candles instead of ticks.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

UP, DOWN, VOLUME = 255, 128, 192
PIXELS_PER_SESSION = 3  # open, wick and close columns


def draw(
    ohlcv: Float[np.ndarray, "B S 5"], valid: Bool[np.ndarray, "B S"], height: int
) -> UInt8[np.ndarray, "B height width"]:
    """Draws one chart a sample; each is scaled to its own highest high and lowest low.

    Args:
      ohlcv: open, high, low, close, volume, oldest session first.
      valid: sessions that exist; others stay black.
      height: pixels; the lowest fifth shows volume.

    Returns:
      Grey pictures, row 0 on top: a wick from low to high in the session's middle column, a body
      from open to close over its three columns (``UP`` or ``DOWN``), a volume bar below.
    """
    volume_height = height // 5
    price_height = height - volume_height
    shown = valid[..., None]
    top = np.where(shown, ohlcv[..., :4], -np.inf).max((1, 2))[:, None, None]
    bottom = np.where(shown, ohlcv[..., :4], np.inf).min((1, 2))[:, None, None]
    span = np.where(top > bottom, top - bottom, 1.0)
    level = (top - np.where(shown, ohlcv[..., :4], bottom)) / span
    opened, high, low, closed = np.moveaxis(
        np.rint(np.where(shown, level, 0) * (price_height - 1)).astype(np.int16), -1, 0
    )
    y = np.arange(price_height, dtype=np.int16)[None, :, None]

    def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (y >= a[:, None]) & (y <= b[:, None]) & valid[:, None]

    colour = np.where(ohlcv[..., 3] >= ohlcv[..., 0], UP, DOWN).astype(np.uint8)[:, None]
    body = between(np.minimum(opened, closed), np.maximum(opened, closed)) * colour
    wick = np.maximum(between(high, low) * colour, body)
    prices = np.stack([body, wick, body], axis=-1)

    most = np.where(valid, ohlcv[..., 4], 0).max(1, keepdims=True)
    bars = np.rint(np.where(valid, ohlcv[..., 4], 0) / np.where(most > 0, most, 1) * volume_height)
    from_below = np.arange(volume_height, 0, -1)[None, :, None]
    column = np.where(from_below <= bars[:, None], VOLUME, 0).astype(np.uint8)
    volume = np.stack([np.zeros_like(column), column, np.zeros_like(column)], axis=-1)
    return np.concatenate([prices, volume], axis=1).reshape(len(ohlcv), height, -1)
