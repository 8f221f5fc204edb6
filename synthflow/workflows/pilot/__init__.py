"""`plan --pilot`: a small part of a pipeline is run, measured and projected to the whole."""
