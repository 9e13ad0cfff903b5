"""`python -m deepseek_core` is `ds-sdk`."""

import sys

from deepseek_core.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
