"""Studies that run session by session: update rules, drift, jumps of volatility."""

# Update rules of stream.py. They are here because the flags of studies/stream.py list them.
RULES = (
    "never update",
    "incremental",
    "incremental + replay",
    "incremental + replay + gate",
    "two-sided adapter",
    "retrain",
    "retrain + incremental",
)
