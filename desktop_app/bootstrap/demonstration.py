"""What demonstration and self-test need beside the desk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop_app.settings import BillingKind, Settings

if TYPE_CHECKING:
    from db.demo.cases import DemoJob
    from desktop_app.bootstrap.desk import Opened


def demo_settings(settings: Settings, folder: Path) -> Settings:
    """Settings for a demonstration in a folder of its own, whatever else is set: embedded database, billing sandbox."""
    from desktop_app.settings import load

    return load(
        {
            "data_dir": folder,
            "database_url": f"sqlite:///{folder.as_posix()}/desk.db",
            "billing_kind": BillingKind.SANDBOX,
            "billing_url": "",
            "billing_timeout_s": 2.0,
            "billing_settle_s": 3.0,
            "rate_per_minute": 0,
            "rate_per_day": 0,
            "notify_url": "",
            "workers": settings.workers,
            "log_level": settings.log_level,
        }
    )


def set_sandbox_faults(opened: Opened, **faults: Any) -> str:
    """Makes the sandbox of the data folder misbehave, starting it if needed; gives its address."""
    from desktop_app.billing.launcher import set_faults

    address = opened.billing.sandbox()
    set_faults(address, **faults)
    return address.url


def read_ledger(opened: Opened) -> dict[str, Any]:
    """What the sandbox of the data folder ever made, see :func:`desktop_app.billing.launcher.read_ledger`."""
    from desktop_app.billing import launcher

    return launcher.read_ledger(opened.billing.sandbox())


def stop_sandbox(opened: Opened) -> None:
    """Ends the sandbox of the data folder."""
    from desktop_app.billing import launcher

    launcher.stop(opened.billing.sandbox())


def pick_demo_job(opened: Opened, devices: int, blocked_share: float) -> DemoJob:
    """Devices and plans of the demo data for a job that shows something."""
    from db.demo.cases import pick_for_demo_job

    with opened.store.read() as uow:
        return pick_for_demo_job(uow, devices, blocked_share)
