"""`tag.*`: what a verifier finds in a rollout, as a measure that is no verdict.

It is in no pass rate and no export's verdict.
"""
