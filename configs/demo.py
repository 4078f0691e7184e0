"""S&P 500, 1999-2018: three modalities, two targets, nothing to download.

    make demo            (or: python launch/train.py --config=configs/demo.py)

price: the index's own bars with NASDAQ and WTI as context. vix: implied volatility, which exists
only from 2014 on and is missing before. chart: candlesticks drawn from the look-back window.
Targets: the next session's direction and the volatility of the next five. Trains on 1999-2016,
scores 2017-2018.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    c = base.get_config()
    c.name = "demo"
    with c.unlocked():
        c.modalities.price = ConfigDict(
            {
                "kind": "numeric",
                "sessions": 64,
                "patch": 8,
                "channels": (
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
                    "nasdaq_ret",
                    "wti_ret",
                ),
            }
        )
        c.modalities.vix = ConfigDict(
            {"kind": "numeric", "sessions": 16, "patch": 4, "channels": ("vix_level", "vix_change")}
        )
        c.modalities.chart = ConfigDict(
            {"kind": "image", "sessions": 32, "height": 60, "patch_height": 20, "patch_sessions": 8}
        )
    return c
