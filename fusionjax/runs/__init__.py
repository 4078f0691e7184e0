"""The runs of a folder: what they are, how they compare, and which may be removed."""
