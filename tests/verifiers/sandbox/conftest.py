"""Makes `attacks` and `host` importable."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
