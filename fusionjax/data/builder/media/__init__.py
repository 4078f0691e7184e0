"""One record a decoded file."""
