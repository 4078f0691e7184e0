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

# What a page calls them; a channel of a user's own has its name.
CHANNEL_WORDS = {
    "ret": "return",
    "gap": "gap at the open",
    "range": "high over low",
    "close_location": "close within the day's range",
    "volume_change": "change of volume",
    "volume_level": "volume over its mean",
    **{f"ma{n}": f"close over its {n}-session mean" for n in (5, 10, 20, 30)},
    **{f"vol{n}": f"volatility of {n} sessions" for n in (5, 20)},
    "market_ret": "mean stock's return",
    "market_dispersion": "spread of the stocks' returns",
    "market_breadth": "share of stocks that rose",
    "market_vol20": "volatility of the mean stock, 20 sessions",
    "sector_ret": "sector's mean return",
}
