"""The command line: each command is a module that loads when it is called, so that `--help` answers at once."""
