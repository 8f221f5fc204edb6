"""Whether two answers are the same: exactly, by values at points, and by a computer algebra system."""
