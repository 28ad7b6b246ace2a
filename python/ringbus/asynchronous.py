"""`async def` handlers: each runs as a task on the event loop that started its group."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from ringbus import _core
from ringbus.errors import ClaimError, ConfigurationError
from ringbus.policies import DECLINE
from ringbus.readiness import LoopReader
from ringbus.statistics import Latency

Report = Callable[[BaseException | None, int, object], bool]


_BURST = 64
"""Events handled before other tasks of the loop are let run."""


class AsyncProcessor(LoopReader):
    """Hands events to a coroutine function, one at a time, in order."""

    def __init__(
        self, ring: _core.Ring, facts: SimpleNamespace, handler: Callable[..., Any], arity: int, report: Report
    ) -> None:
        """Take a place on the ring."""
        super().__init__(_core.Poller(ring, facts))
        self._handler = handler
        self._arity = arity
        self._report = report
        self._halted = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def index(self) -> int:
        """Its entry in the registry."""
        return self._poller.index

    @property
    def events(self) -> int:
        """Events handed to the handler."""
        return self._poller.events

    @property
    def left(self) -> bool:
        """Whether it has left the ring."""
        return self._poller.closed

    def depend_on(self, entries: int) -> None:
        """Follow the consumers in `entries`."""
        self._poller._depend_on(entries)

    def latency(self) -> Latency:
        """Publish to hand-over."""
        return self._poller.latency()

    def release(self, sequence: int) -> None:
        """Refuse: its events are taken one by one."""
        raise ClaimError(f"{self.name!r} is an async handler", "it is done with each event as it returns")

    def halt(self) -> None:
        """End `run` after the event in hand."""
        self._halted = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._readiness.notify)

    def leave(self) -> None:
        """Leave the ring."""
        self._leave()

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that runs the caller.

        Raises:
            ConfigurationError: no asyncio loop does.
        """
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            remedy = "start the group with 'async with group:' inside asyncio"
            raise ConfigurationError(f"{self.name!r} is an async handler and no asyncio loop runs", remedy) from None

    def start(self) -> asyncio.Task[None]:
        """Run as a task of the loop that calls this.

        Raises:
            ConfigurationError: no asyncio loop runs.
        """
        self._loop = self.loop()
        return self._loop.create_task(self._run(), name=f"ringbus-{self.name}")

    async def _run(self) -> None:
        going, burst = await self._hook("on_start"), 0
        while going and not self._halted:
            numbered = self._poller._try_numbered()
            burst = (burst + 1) % _BURST
            if numbered is None:
                await self._readiness.wait()
                continue
            going = await self._handle(*numbered)
            if burst == 0:
                await asyncio.sleep(0)  # a handler that never waits itself must not starve the loop
        if going:
            self._poller._commit()
        await self._hook("on_shutdown")

    async def _handle(self, sequence: int, event: object) -> bool:
        try:
            answer = await self._handler(*(event, sequence, True)[: self._arity])
        except asyncio.CancelledError:
            self._poller._rewind(sequence)
            raise
        except BaseException as error:  # noqa: BLE001 (the policy decides what follows)
            return self._go_on(error, sequence, event)
        if answer is DECLINE:
            return self._go_on(None, sequence, event)
        self._poller._commit()
        return True

    def _go_on(self, error: BaseException | None, sequence: int, event: object) -> bool:
        going = self._report(error, sequence, event)
        if going:
            self._poller._commit()
        else:
            self._poller._rewind(sequence)
        return going

    async def _hook(self, name: str) -> bool:
        hook: Callable[[], Coroutine[Any, Any, object] | object] | None = getattr(self._handler, name, None)
        if hook is None:
            return True
        try:
            answer = hook()
            if inspect.isawaitable(answer):
                await answer
        except Exception as error:  # noqa: BLE001 (the policy decides what follows)
            return self._report(error, self.sequence, None)
        return True
