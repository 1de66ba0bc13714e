"""Asking for a file, without a modal loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QWidget


def ask_open(parent: QWidget, title: str, kinds: str, then: Callable[[Path], None]) -> QFileDialog:
    """Asks for a file that exists and calls ``then`` with it. ``kinds`` is such as ``"Lists (*.csv *.txt)"``."""
    dialog = _dialog(parent, title, kinds, then)
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.open()
    return dialog


def ask_save(parent: QWidget, title: str, kinds: str, proposed: str, then: Callable[[Path], None]) -> QFileDialog:
    """Asks where to write and calls ``then`` with it; ``proposed`` is a file name with its ending."""
    dialog = _dialog(parent, title, kinds, then)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setFileMode(QFileDialog.FileMode.AnyFile)
    dialog.setDefaultSuffix(Path(proposed).suffix.lstrip("."))
    dialog.selectFile(proposed)
    dialog.filterSelected.connect(lambda kind: _take_ending(dialog, kind))
    dialog.open()
    return dialog


def _take_ending(dialog: QFileDialog, kind: str) -> None:
    """Another kind of file was chosen: the name gets its ending, by which it is written."""
    ending = kind.partition("*.")[2].rstrip(")").partition(" ")[0]
    chosen = dialog.selectedFiles()
    dialog.setDefaultSuffix(ending)
    if chosen and ending:
        dialog.selectFile(Path(chosen[0]).with_suffix(f".{ending}").name)


def _dialog(parent: QWidget, title: str, kinds: str, then: Callable[[Path], None]) -> QFileDialog:
    dialog = QFileDialog(parent, title)
    dialog.setObjectName("fileDialog")
    dialog.setNameFilter(kinds)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(lambda name: then(Path(name)))
    return dialog
