"""From a pipeline to what will run: fingerprints, what is done, what is owed, what it will cost. It runs nothing."""
