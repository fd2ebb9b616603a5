"""The process: `rnntrace`, or `python -m rnntrace`. What is imported may fail, or be interrupted, and that is no verdict."""


def main() -> None:
    """Run the command line, which says by itself what goes wrong once it is there."""
    try:
        from rnntrace.cli.app import main as run

        run()
    except KeyboardInterrupt:
        _end(b"rnntrace: interrupted\n", 130)
    except Exception as error:
        _end(f"rnntrace: it cannot start: {error!r}\n".encode(errors="backslashreplace"), 70)


def _end(line: bytes, code: int) -> None:
    import os

    try:
        os.write(2, line)
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
