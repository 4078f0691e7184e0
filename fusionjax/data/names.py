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
# Modalities of the planted market (planted.py); NUMERIC are channels of its folder.
MODALITIES = ("numeric", "text", "chart", "audio", "video", "source")
NUMERIC = tuple(f"numeric_{i}" for i in range(8))
# Of the handwritten digits (digits.py); JUNK are those of corruption "junk".
VIEWS = tuple(f"view{i}" for i in range(1, 7))
JUNK = tuple(f"junk_{i}" for i in range(len(VIEWS)))
# Of the pictures of candles (candles.py).
CANDLES = "chart"
