"""`python -m pellucid`, and the `pellucid` command."""

from pellucid.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
