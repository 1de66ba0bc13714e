"""What an engine needs to reach the billing companies."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from desktop_app.association.ports import BillingPort, RateGovernor


class BillingGateway(Protocol):
    """The billing companies, by the handle of their credential. Thread-safe."""

    def unopened(self) -> Collection[int]:
        """Handles of the credentials whose secret is not on this machine. Cheap: asked before each claim."""

    def client(self, billing_credential_id: int) -> BillingPort:
        """The billing company as this credential sees it.

        Raises:
            EnvironmentFault: it cannot be opened now.
        """

    def governor(self, billing_credential_id: int) -> RateGovernor:
        """How many calls the credential may make from this process."""
