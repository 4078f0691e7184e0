"""Forecasts that any model wrote to a file, scored as a run is."""
