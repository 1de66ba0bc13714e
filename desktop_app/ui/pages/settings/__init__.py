"""The Settings page: the look, connections, work, files, and what is in force at this desk."""

from desktop_app.ui.pages.settings.page import SettingsPage

__all__ = ["SettingsPage"]
