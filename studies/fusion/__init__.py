"""What learned weights are worth: the modality ladder, its truth, its coresets, its placebos."""

# Variants of levels.py. They are here because the flags of studies/levels.py list them.
LEVEL_VARIANTS = (
    "no linear map",
    "linear map",
    "no instance normalisation",
    "linear map, no instance normalisation",
    "no dropout",
    "linear map, no dropout",
    "1,600 steps",
    "linear map, 1,600 steps",
    "distilled",
    "linear map, distilled",
)
