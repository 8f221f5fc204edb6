"""`source.*`: where problems come from. A source is a `base.Source`, which streams them in batches."""
