"""The command line: a config in, an exit code out. Everything above the library, and nothing that the library needs."""
