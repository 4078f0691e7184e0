"""The channels that an audit looks at."""

import numpy as np
from jaxtyping import Float64

from fusionjax.config import Config
from fusionjax.data.store import Market


def used_channels(market: Market, config: Config) -> tuple[list[str], Float64[np.ndarray, "R C"]]:
    """The channels that modalities use and the market has, and their values by row."""
    names = [c for c in config.channel_names if c in market.channel_names]
    return names, market.channels[:, market.columns(tuple(names))].astype(float)
