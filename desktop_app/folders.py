"""The folders of this user that the program keeps its things in."""

from __future__ import annotations

from pathlib import Path

import platformdirs

#: Name of the folders that hold this program's files.
FOLDER = "device-association-desk"


def config_file() -> Path:
    """The TOML file with this user's settings; it need not be there."""
    return platformdirs.user_config_path(FOLDER, appauthor=False) / "settings.toml"


def window_state_file() -> Path:
    """Where the window keeps what a person chose, such as the theme; it need not be there."""
    return platformdirs.user_config_path(FOLDER, appauthor=False) / "window.ini"


def default_data_dir() -> Path:
    """Where database, logs and exports go unless a setting says something else."""
    return platformdirs.user_data_path(FOLDER, appauthor=False)
