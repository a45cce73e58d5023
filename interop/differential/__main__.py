"""Command line: ``python -m interop.differential``; exit code 1 when the brokers differ."""

from __future__ import annotations

import sys

from interop.differential.cli import main

sys.exit(main())
