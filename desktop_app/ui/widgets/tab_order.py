"""Where Tab comes to what is made later than its neighbours.

Qt puts a widget at the end of the order when it is made: a button that appears in the middle of a page would be reached
after all that stands below it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget


def join(place: QWidget, parts: Iterable[QWidget]) -> None:
    """Has Tab come to ``parts``, in this order, where it comes by ``place``, which itself need not take the focus."""
    wanted = list(parts)
    before = place.previousInFocusChain()
    while before is not None and before is not place:
        if before.focusPolicy() & Qt.FocusPolicy.TabFocus and before not in wanted:
            in_order([before, *wanted])
            return
        before = before.previousInFocusChain()


def in_order(widgets: Iterable[QWidget]) -> None:
    """Has Tab come to these one after the other."""
    for before, after in pairwise(widgets):
        QWidget.setTabOrder(before, after)
