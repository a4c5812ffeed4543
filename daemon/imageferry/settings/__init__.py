"""The daemon's settings: one YAML file, its variables and its secret files, checked as a whole.

The commands call :func:`find_config` and :func:`load`. Nothing here connects to anything, reads a policy, or keeps
looking at the file: settings change with a restart.
"""

from __future__ import annotations

from imageferry.settings.blueprint import Listen, Logging
from imageferry.settings.loader import Settings, find_config, load
from imageferry.settings.table import settings_table

__all__ = ["Listen", "Logging", "Settings", "find_config", "load", "settings_table"]
