"""What remembers: the run directory, shards and manifest, the sampling journal, the lock, the catalog.

What is done and what is owed says `manifest`, what was sampled says `journal`. Old run directories must stay readable.
"""
