"""PySide6 6.12.0 on Python 3.11 lost a reference to ``True`` or ``None`` on each emit, and aborted after hundreds."""

from __future__ import annotations

import sys

import pytest
from PySide6.QtCore import QObject, Signal


class _Sender(QObject):
    said = Signal(bool)
    told = Signal(object)


@pytest.mark.parametrize("value", [True, None])
def test_emitting_keeps_references(qapp, value):
    sender = _Sender()
    signal = sender.said if value is True else sender.told
    seen = []
    signal.connect(lambda got: seen.append(1) if got is value else None)
    before = sys.getrefcount(value)
    for _ in range(2_000):
        signal.emit(value)
    assert len(seen) == 2_000
    # other threads' and caches' references come and go; 2,000 lost ones do not hide in that
    assert abs(sys.getrefcount(value) - before) < 500
