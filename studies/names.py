"""Names that the studies' config files list, apart from the modules that make what they name.

A config file is read before anything heavy is imported.
"""

# Modalities of the planted market (data/planted.py); NUMERIC: channels of its folder.
MODALITIES = ("numeric", "text", "chart", "audio", "video", "source")
NUMERIC = tuple(f"numeric_{i}" for i in range(8))
# Experts of studies of classes, and of volatility, as ``distill.experts`` lists them
# (fusion/view_tasks.py).
VIEW_EXPERTS = (
    "mean of logistic regressions",
    "product of logistic regressions",
    "logistic regression",
    "logistic regression of each view",
)
VOLATILITY_EXPERTS = ("ridge", "persistence", "mean", "ridge of each view")
# Of the pictures of candles (data/candles.py).
CANDLES = "chart"
# Of the market whose parts have a known worth (data/planted_parts.py): the modality "noise" is it.
PARTS_SESSIONS = 8
PARTS_CHANNELS = (
    *("ret", "vol20", "tell_0", "tell_1", "still_0", "still_1", "noise_0", "noise_1"),
)
_SERIES = {"kind": "numeric", "sessions": PARTS_SESSIONS, "patch": 1}
PLANTED_PARTS: dict[str, dict] = {
    "price": {**_SERIES, "channels": PARTS_CHANNELS[2:6]},
    "news": {"kind": "text", "sessions": 1, "max_documents": 6, "author_buckets": 4},
    "chart": {
        "kind": "chart",
        "sessions": PARTS_SESSIONS,
        "height": 20,
        "patch_height": 10,
        "patch_sessions": 2,
    },
    "noise": {**_SERIES, "channels": PARTS_CHANNELS[6:]},
}
