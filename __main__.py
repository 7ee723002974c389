"""`python -m reelbench`, the same as the command `reelbench`."""

from __future__ import annotations

from .cli.main import main

if __name__ == "__main__":
    main()
