"""Connections of the sandbox's web server, so that a fault can cut one."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol


class CuttableProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which remembers the transport of each client."""

    _transports: ClassVar[dict[tuple[str, int], asyncio.Transport]] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._transports[_address(transport)] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transports.pop(_address(self.transport), None)
        super().connection_lost(exc)

    @classmethod
    async def cut(cls, request: Request) -> None:
        """Cuts the request's connection at once; no byte of an answer leaves."""
        transport = cls._transports.get((request.client.host, request.client.port)) if request.client else None
        if transport is not None:
            transport.abort()
        while not await request.is_disconnected():
            await asyncio.sleep(0)


def _address(transport: asyncio.Transport) -> tuple[str, int]:
    host, port, *_ = transport.get_extra_info("peername")
    return str(host), int(port)
