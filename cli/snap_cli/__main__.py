"""`python -m snap_cli`: the command line where no script is installed."""

from __future__ import annotations

from snap_cli.main import main

if __name__ == "__main__":
    main()
