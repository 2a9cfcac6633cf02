"""Work for threads, a little at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

Result = TypeVar("Result")


class RequestQueue:
    """Lets so many requests do their work at a time. Others wait; too many are sent away with 503."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._limit = at_once + waiting
        self._inside = 0

    @property
    def is_busy(self) -> bool:
        """Whether any work is done now."""
        return self._inside > 0

    async def take(self, request: Request, work: Callable[..., Awaitable[Result]], *arguments: object) -> Result:
        """Do the work when it is its turn; not for a client who is gone by then."""
        if self._inside >= self._limit:
            raise HTTPException(503, "too many requests at once: try again in a moment", {"Retry-After": "1"})
        self._inside += 1
        try:
            async with self._free:
                if await request.is_disconnected():
                    raise HTTPException(400, "the client has disconnected")
                return await work(*arguments)
        finally:
            self._inside -= 1

    async def in_thread(self, request: Request, work: Callable[..., Result], *arguments: object) -> Result:
        """The same for work that is not asynchronous."""
        return await self.take(request, asyncio.to_thread, work, *arguments)
