"""What remembers: the run directory, shards and manifest, the sampling journal, the lock, the catalog."""
