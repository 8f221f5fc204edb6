"""What gives a verdict: correct, wrong or unknown, always with a reason where it is unknown.

A registered verifier `x` is the stage `verify.x`; copy `exact` (docs/add-a-verifier.md). Model text is hostile, so
whatever could hang, blow up or crash on it runs in a child process that is killed at its limit (`workers`), and only
the item that misbehaved pays for it. Open a verifier with `synthflow.verifiers.opening.open_verifier`.
"""
