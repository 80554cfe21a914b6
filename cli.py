"""The command line: ``python cli.py fit --config configs/stacked.yaml``."""

from sae.cli import main

if __name__ == "__main__":
    main()
