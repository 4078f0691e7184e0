"""Measurements of fusionjax: what it costs, what it survives, what its detectors see."""
