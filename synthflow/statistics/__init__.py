"""Pure arithmetic on numbers and texts: intervals, pass@k, bootstrap, agreement, diversity, sketches.

It knows no run and no stage; a new formula goes here, with its source and a case worked out by hand.
"""
