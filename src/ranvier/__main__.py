"""`python -m ranvier` is `ranvier`."""

import sys

from ranvier.cli import main

sys.exit(main())
