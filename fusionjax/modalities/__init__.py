"""What a sample shows: one file a modality, found by its name in ``registry.MODALITIES``."""
