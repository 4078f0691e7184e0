"""One record a symbol and session."""
