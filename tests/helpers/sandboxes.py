"""Billing sandboxes that a test looks for."""

from __future__ import annotations

import time
from pathlib import Path

from desktop_app.billing.launcher import SandboxAddress, find_sandbox


def sandbox_of(data_dir: Path) -> SandboxAddress:
    """The sandbox of the folder, which runs or is about to: it may stand still for a while before it answers.

    Raises:
        AssertionError: none does, for a long time.
    """
    is_over = time.monotonic() + 60
    while (found := find_sandbox(data_dir)) is None:
        assert time.monotonic() < is_over, f"no sandbox answers for {data_dir}"
        time.sleep(0.02)
    return found
