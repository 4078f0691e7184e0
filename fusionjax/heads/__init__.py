"""What is forecast: one file a head, found by its name in ``registry.HEADS``."""
