"""`source.*`: where problems come from."""
