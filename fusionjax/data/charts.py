"""Candlestick charts drawn from bars: three pixels a session, prices above, volume below.

The layout follows Jiang, Kelly & Xiu, "(Re-)Imag(in)ing Price Trends" (2023), with bodies for
candles instead of ticks.
"""

from typing import Any

from jaxtyping import Bool, Float, UInt8

UP, DOWN, VOLUME = 255, 128, 192
PIXELS_PER_SESSION = 3  # open, wick and close columns


def draw(
    ohlcv: Float[Any, "B S 5"], valid: Bool[Any, "B S"], height: int
) -> UInt8[Any, "B height width"]:
    """Draws one chart a sample; each is scaled to its own highest high and lowest low.

    Args:
      ohlcv: open, high, low, close, volume, oldest session first; of NumPy or of JAX.
      valid: sessions that exist; others stay black.
      height: pixels; the lowest fifth shows volume.

    Returns:
      Grey pictures, row 0 on top: a wick from low to high in the session's middle column, a body
      from open to close over its three columns (``UP`` or ``DOWN``), a volume bar below.
    """
    xp = ohlcv.__array_namespace__()
    volume_height = height // 5
    price_height = height - volume_height
    shown, prices = valid[..., None], ohlcv[..., :4]
    top = xp.where(shown, prices, -xp.inf).max((1, 2))[:, None, None]
    bottom = xp.where(shown, prices, xp.inf).min((1, 2))[:, None, None]
    span = xp.where(top > bottom, top - bottom, xp.ones_like(top))
    level = (top - xp.where(shown, prices, bottom)) / span
    pixel = xp.rint(xp.where(shown, level, xp.zeros_like(level)) * (price_height - 1))
    opened, high, low, closed = (pixel[..., i].astype(xp.int16) for i in range(4))
    y = xp.arange(price_height, dtype=xp.int16)[None, :, None]

    def between(a: Any, b: Any) -> Any:
        inside = (y >= a[:, None]) & (y <= b[:, None]) & valid[:, None]
        return xp.where(inside, colour, xp.zeros_like(colour))

    colour = xp.where(ohlcv[..., 3] >= ohlcv[..., 0], xp.uint8(UP), xp.uint8(DOWN))[:, None]
    body = between(xp.minimum(opened, closed), xp.maximum(opened, closed))
    wick = xp.maximum(between(high, low), body)
    candles = xp.stack([body, wick, body], axis=-1)

    volume = xp.where(valid, ohlcv[..., 4], xp.zeros_like(ohlcv[..., 4]))
    most = volume.max(1, keepdims=True)
    bars = xp.rint(volume / xp.where(most > 0, most, xp.ones_like(most)) * volume_height)
    from_below = xp.arange(volume_height, 0, -1).astype(bars.dtype)[None, :, None]
    column = xp.where(from_below <= bars[:, None], xp.uint8(VOLUME), xp.uint8(0))
    below = xp.stack([xp.zeros_like(column), column, xp.zeros_like(column)], axis=-1)
    return xp.concat([candles, below], axis=1).reshape(ohlcv.shape[0], height, -1)
