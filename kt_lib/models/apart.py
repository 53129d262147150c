"""Run a coroutine from synchronous code, also where an event loop is running already (a notebook)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
Tell = Callable[[int, int], None]


def run_apart(work: Callable[[Tell], Coroutine[Any, Any, T]], heard: Tell | None = None) -> T:
    """The result of `work(tell)`, run in a thread of its own with a loop of its own.

    What `work` tells is heard in the caller's thread, so that progress bars work in notebooks. An interrupt of the
    caller cancels the work and waits for its connections to be closed.
    """
    news: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(work(lambda done, total: news.put((done, total))))

    def run() -> None:
        try:
            loop.run_until_complete(asyncio.wait([task]))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
            news.put(None)

    thread = Thread(target=run, name="kt-model", daemon=True)
    thread.start()
    try:
        while (told := news.get()) is not None:
            if heard:
                heard(*told)
    except BaseException:
        with suppress(RuntimeError):  # it has just ended by itself
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join()
    return task.result()
