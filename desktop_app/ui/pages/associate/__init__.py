"""Associate devices to a customer: the list at the left, the request and its check at the right."""

from desktop_app.ui.pages.associate.page import AssociatePage

__all__ = ["AssociatePage"]
