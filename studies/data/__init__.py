"""Data of the studies: planted markets, and sets that others measured on, as vectors in memory."""
