"""Simple models as experts of the fusion: fitted walk-forward, weighed by later data."""
