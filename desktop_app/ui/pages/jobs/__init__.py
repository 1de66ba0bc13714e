"""Jobs: the list, the job that is chosen, and the device of it that is chosen."""

from desktop_app.ui.pages.jobs.page import JobsPage

__all__ = ["JobsPage"]
