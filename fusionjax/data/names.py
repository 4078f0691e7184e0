"""Names that config files list, apart from the modules that make what they name.

A config file is read before anything heavy is imported.
"""

# Channels that features.py computes of each symbol's own bars, and of the whole market.
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
