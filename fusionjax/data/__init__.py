"""From raw tables to batches: checks, point-in-time join, storage, audit, windows."""
