"""Pure functions from a Batch to a Forecast: encoders, fusion, heads. No files, clocks or globals."""
