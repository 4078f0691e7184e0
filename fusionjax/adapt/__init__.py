"""New data arrives: go on from a checkpoint instead of starting again."""

# How a stream may be lived (stream.py). Here, as the flags of launch/finetune.py list them.
RULES = (
    "never update",
    "incremental",
    "incremental + replay",
    "incremental + replay + gate",
    "two-sided adapter",
    "retrain",
    "retrain + incremental",
)
