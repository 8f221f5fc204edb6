"""Which text of a completion is its final answer, and by which rule it was found."""
