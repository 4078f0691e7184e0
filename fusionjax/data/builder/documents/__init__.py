"""One record a text."""
