"""What is lived through session by session: update rules, drift, jumps of volatility."""

# How a stream may be lived (stream.py). Here, as the flags of studies/stream.py list them.
RULES = (
    "never update",
    "incremental",
    "incremental + replay",
    "incremental + replay + gate",
    "two-sided adapter",
    "retrain",
    "retrain + incremental",
)
