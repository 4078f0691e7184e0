"""What runs beside the training step, a file a concern; ``train/hook.py`` is their interface."""
