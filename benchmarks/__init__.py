"""Measurements of fusionjax: cost, robustness, drift detectors."""
