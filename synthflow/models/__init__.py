"""Models as directories: which one a spec names, and what its contents hash to. Nothing here loads weights."""
