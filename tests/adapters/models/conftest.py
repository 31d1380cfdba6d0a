"""Puts this folder's ``styles`` on the path, as a user's own module would be."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
