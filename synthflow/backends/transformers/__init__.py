"""`transformers`: the embedded engine, a model in this process with a live batch."""
