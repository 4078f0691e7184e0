"""Data of the studies: planted markets and published data sets, as vectors in memory."""
