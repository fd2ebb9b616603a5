"""`python -m rnntrace`."""

from rnntrace.cli.app import main

if __name__ == "__main__":
    main()
