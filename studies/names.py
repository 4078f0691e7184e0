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
