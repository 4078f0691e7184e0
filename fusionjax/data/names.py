"""Channel names for config files, which are read before NumPy and pandas are imported."""

# Channels that features.py computes from each symbol's own bars, and from the whole market.
PRICE_CHANNELS = (
    "ret",
    "gap",
    "range",
    "close_location",
    "volume_change",
    "volume_level",
    "ma5",
    "ma10",
    "ma20",
    "ma30",
    "vol5",
    "vol20",
)
MARKET_CHANNELS = (
    "market_ret",
    "market_dispersion",
    "market_breadth",
    "market_vol20",
    "sector_ret",
)
