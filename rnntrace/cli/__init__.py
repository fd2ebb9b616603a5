"""The command line: one file per command. Flags in, one call of the library, one report, one exit code."""
