"""What runs beside the training step, one file each; ``train/hook.py`` is the interface."""
