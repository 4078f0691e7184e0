"""Raw tables in, batches out: validate, join in time, store each row once, window on the fly."""
