"""An event loop in a thread of its own, for brokers' clients that are asynchronous: the rest of the program waits for it as for any call."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

CLOSING_SECONDS = 5.0
STUBBORN_SECONDS = 5.0
"""What a client that swallows its cancellation may take beyond its time; whoever waits for it goes on then."""


class Loop:
    """Runs coroutines, one caller at a time or several, until it is closed."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"recon-{name}", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """What the coroutine answers. Raises TimeoutError when the time is over, and has it cancelled; else what it raises itself."""

        async def bounded() -> T:
            async with asyncio.timeout(max(0.001, seconds)):
                return await work

        running = asyncio.run_coroutine_threadsafe(bounded(), self._loop)
        try:
            return running.result(max(0.0, seconds) + STUBBORN_SECONDS)
        except TimeoutError:
            running.cancel()
            raise

    def close(self) -> None:
        """Cancels what still runs and ends the thread; a second call does nothing."""
        if self._loop.is_closed():
            return
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_cancelled(), self._loop).result(CLOSING_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSING_SECONDS)
        self._loop.close()


async def _cancelled() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
