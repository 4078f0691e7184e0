"""Forecasts that any model wrote to a file: read, checked, placed at the bars they were made on."""
