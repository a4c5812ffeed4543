"""The front door: ``imageferry`` and ``python -m imageferry``."""

from __future__ import annotations

from imageferry.cli.main import main

if __name__ == "__main__":
    main()
