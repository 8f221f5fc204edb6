"""What runs a pipeline in part or again: the pilot of `plan --pilot`, re-verification, `verify FILE`."""
