"""The processes that use a sandbox: when the last of them is gone, so is the reason to run."""

from __future__ import annotations

import os
import sys


class Users:
    """Watches processes by their ids. A sandbox that a person started needs none (``needs_users`` is False)."""

    def __init__(self, *, needs_users: bool) -> None:
        self._watched: dict[int, _Process] = {}
        self._needs_users = needs_users

    def add(self, pid: int) -> None:
        """Watches one more process.

        Raises:
            ValueError: there is no such process.
        """
        if pid not in self._watched:
            self._watched[pid] = _Process(pid)

    def all_gone(self) -> bool:
        """Whether users are needed, and none lives."""
        for pid, process in list(self._watched.items()):
            if not process.lives():
                process.close()
                del self._watched[pid]
        return self._needs_users and not self._watched

    def close(self) -> None:
        """Forgets every process."""
        for process in self._watched.values():
            process.close()
        self._watched.clear()


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _SYNCHRONIZE = 0x0010_0000
    _WAIT_TIMEOUT = 0x102
    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
    _kernel32.OpenProcess.restype = wintypes.HANDLE
    _kernel32.WaitForSingleObject.argtypes = (wintypes.HANDLE, wintypes.DWORD)
    _kernel32.WaitForSingleObject.restype = wintypes.DWORD
    _kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)

    class _Process:
        """One process, held by a handle: its id cannot be given to another one meanwhile."""

        def __init__(self, pid: int) -> None:
            self._handle = _kernel32.OpenProcess(_SYNCHRONIZE, False, pid)
            if not self._handle:
                raise ValueError(f"no process {pid}")

        def lives(self) -> bool:
            return bool(_kernel32.WaitForSingleObject(self._handle, 0) == _WAIT_TIMEOUT)

        def close(self) -> None:
            _kernel32.CloseHandle(self._handle)

else:

    class _Process:
        """One process. The parent is known by being the parent, so that a zombie or a reused id does not count."""

        def __init__(self, pid: int) -> None:
            self._pid = pid
            self._is_parent = os.getppid() == pid
            if pid <= 0 or not self.lives():
                raise ValueError(f"no process {pid}")

        def lives(self) -> bool:
            if self._is_parent:
                return os.getppid() == self._pid
            try:
                os.kill(self._pid, 0)
            except ProcessLookupError:
                return False
            except PermissionError:
                return True
            return True

        def close(self) -> None:
            pass
