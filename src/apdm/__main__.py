"""`python -m apdm` is `apdm`."""

from apdm.cli.main import main

if __name__ == "__main__":
    main()
