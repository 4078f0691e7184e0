"""Scores of forecasts: metrics, their intervals over days, calibration, what a forecast earns."""
