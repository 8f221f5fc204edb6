"""Worlds, fakes, servers and runs that tests of several folders share; imported as `support`."""
