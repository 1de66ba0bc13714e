"""A server of bare sockets: it answers with exactly the bytes, cuts and pauses that a test wants, and counts."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

Script = Callable[[socket.socket], None]


class RawServer:
    """Gives each connection that comes in to the next script; the last script takes all that follow."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._closing = threading.Event()
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.connections = 0
        self.received: list[bytes] = []
        self._acceptor = threading.Thread(target=self._accept)

    def __enter__(self) -> RawServer:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):  # wakes accept()
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._acceptor.join()
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._open:
            connection.close()

    @property
    def requests(self) -> int:
        """How many requests came in whole."""
        return len(self.received)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._closing.is_set():
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._run, args=(script, connection))
            self._threads.append(thread)
            thread.start()

    def _run(self, script: Script, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            script(connection)

    def read(self, connection: socket.socket) -> bytes:
        """One request, whole; b"" when the other side closed instead."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65_536)
            if not chunk:
                return b""
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            chunk = connection.recv(65_536)
            if not chunk:
                return b""
            body += chunk
        self.received.append(head + b"\r\n\r\n" + body)
        return self.received[-1]

    # -- scripts ----------------------------------------------------------------------------------------------------

    def answers(self, *answers: bytes) -> Script:
        """Reads a request and sends the answer, for each of ``answers``; then closes."""

        def script(connection: socket.socket) -> None:
            for answer in answers:
                if not self.read(connection):
                    break
                connection.sendall(answer)
            hang_up(connection)

        return script

    def drips(self, start: bytes, drop: bytes) -> Script:
        """Reads a request, sends ``start``, then ``drop`` again and again until the other side is gone."""

        def script(connection: socket.socket) -> None:
            self.read(connection)
            connection.sendall(start)
            self.drip(connection, drop)

        return script

    def drip(self, connection: socket.socket, drop: bytes) -> None:
        """Sends ``drop`` again and again until the other side is gone."""
        while not self._closing.wait(0.02):
            connection.sendall(drop)

    def use(self, *scripts: Script) -> RawServer:
        """Sets the scripts, for those that need the server itself."""
        self._scripts = list(scripts)
        return self


def hang_up(connection: socket.socket) -> None:
    """Closes in an orderly way; what was sent still arrives."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def reset(connection: socket.socket) -> None:
    """Closes with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An HTTP answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
