"""One window for one user and one database: who starts the program again is shown the window that is there.

The first process holds a lock file, which the operating system's process table proves stale after a crash, and listens
on a local socket that only this user may open. A later one asks it to come to the front, and ends.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QCryptographicHash, QLockFile, QObject, Signal

if TYPE_CHECKING:
    from PySide6.QtNetwork import QLocalServer

_PREFIX = "device-association-desk"
_ANSWER_MS = 500
#: A window that is being closed first finishes its calls to billing; so long a new one waits for its place.
WAIT_S = 15.0


class Place(Enum):
    """What became of the place of the one window."""

    MINE = auto()  #: this process has it
    TAKEN = auto()  #: another window has it, and was brought to the front
    SILENT = auto()  #: another process has it, and does not answer


class SingleInstance(QObject):
    """The place of the one window.

    Signals:
        asked_for(): the program was started again; the window should come to the front.
    """

    asked_for = Signal()

    def __init__(self, folder: Path, names: Sequence[str], parent: QObject | None = None) -> None:
        """Args:
        folder: of this user, where the lock file goes; made if missing.
        names: what tells one desk from another: folder of data, database, operator.
        """
        super().__init__(parent)
        told = "\0".join((str(folder), *names)).encode()
        mark = bytes(QCryptographicHash.hash(told, QCryptographicHash.Algorithm.Sha256).data()).hex()[:16]
        self._name = f"{_PREFIX}-{mark}"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = QLockFile(str(folder / f"window-{mark}.lock"))
        self._lock.setStaleLockTime(0)  # stale only when its process is gone
        self._server: QLocalServer | None = None

    def take(self, wait_s: float = WAIT_S) -> Place:
        """Takes the place, or brings the window to the front that has it. Whoever has taken it calls :meth:`listen`
        soon: the place is held from here on, and others who ask wait for an answer.

        Args:
            wait_s: how long to wait for a process that holds the place and does not answer; it may be closing.
        """
        until = time.monotonic() + wait_s
        while True:
            if self._lock.tryLock(0):
                return Place.MINE
            if self._ask():
                return Place.TAKEN
            if time.monotonic() > until:
                return Place.SILENT
            time.sleep(0.1)

    def listen(self) -> None:
        """Answers those who start the program again; the place must have been taken."""
        from PySide6.QtNetwork import QLocalServer  # networking is loaded when the window is on the screen

        QLocalServer.removeServer(self._name)  # what a process that was killed has left behind
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._answer)
        self._server.listen(self._name)

    def release(self) -> None:
        """Gives the place free."""
        if self._server is not None:
            self._server.close()
        self._lock.unlock()

    def _ask(self) -> bool:
        from PySide6.QtNetwork import QLocalSocket

        socket = QLocalSocket()
        socket.connectToServer(self._name)
        try:
            return socket.waitForConnected(_ANSWER_MS) and socket.waitForReadyRead(_ANSWER_MS)
        finally:
            socket.abort()

    def _answer(self) -> None:
        assert self._server is not None
        socket = self._server.nextPendingConnection()
        socket.disconnected.connect(socket.deleteLater)
        socket.write(b"here\n")
        socket.flush()
        socket.disconnectFromServer()
        self.asked_for.emit()
