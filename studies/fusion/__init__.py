"""What learned weights are worth: the modality ladder, its truth, its coresets, its placebos."""
