"""Pure functions from Batch to Forecast: encoders, fusion, heads. No files, clocks, globals."""
