"""Limits the number of concurrent requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

Result = TypeVar("Result")


class RequestQueue:
    """Runs a limited number of requests at a time. A limited number may wait, and all others get status 503."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._limit = at_once + waiting
        self._inside = 0

    @property
    def is_busy(self) -> bool:
        """True while a request is running or waiting."""
        return self._inside > 0

    async def take(self, request: Request, work: Callable[..., Awaitable[Result]], *arguments: object) -> Result:
        """Wait for a free slot, then do the work unless the client has disconnected in the meantime."""
        if self._inside >= self._limit:
            raise HTTPException(503, "too many requests at once: try again in a moment", {"Retry-After": "1"})
        self._inside += 1
        try:
            async with self._free:
                if await request.is_disconnected():
                    raise HTTPException(400, "the client disconnected")
                return await work(*arguments)
        finally:
            self._inside -= 1

    async def in_thread(self, request: Request, work: Callable[..., Result], *arguments: object) -> Result:
        """Like `take`, but run a synchronous function in a thread."""
        return await self.take(request, asyncio.to_thread, work, *arguments)
