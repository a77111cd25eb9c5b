"""An HTTP server for JSON-RPC on the loopback interface, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

from .errors import RpcError
from .faults import HTTP, RESET, Fault

MAX_BODY = 1 << 25
Answer = Callable[[object], tuple[Any, Fault | None]]


def reply(ident: object, result: object = None, error: RpcError | None = None) -> dict[str, Any]:
    """The JSON-RPC object of an answer."""
    out: dict[str, Any] = {"jsonrpc": "2.0", "id": ident}
    return {**out, "result": result} if error is None else {**out, "error": error.json()}


class Server:
    """Serves ``answer``, which gives a JSON answer and the fault that spoils its delivery."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._url = ""
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """Where it listens; ``ValueError`` if it does not."""
        if self._thread is None:
            raise ValueError("fake node: expected one that is started, got one that is not")
        return self._url

    def start(self) -> None:
        """Listen on a free port; returns when it does, or raises what kept it from it."""
        if self._thread is not None:
            raise ValueError("fake node: expected one that is not started, got one that is")
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="fake-node", daemon=True
        )
        self._thread.start()
        ready.wait()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self.close()
            raise failure

    def close(self) -> None:
        """Stop listening."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = self._loop = self._stop = None

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._listen(ready))
        except BaseException as error:  # it belongs to the thread that called start
            self._failure = error
        finally:
            ready.set()

    async def _listen(self, ready: threading.Event) -> None:
        from aiohttp import web

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _handle(self, request: Any) -> Any:
        from aiohttp import web

        try:
            body = await request.json()
        except json.JSONDecodeError:
            return web.json_response(reply(None, error=RpcError(-32600)))
        if isinstance(body, list):
            pairs = [self._answer(one) for one in body]
            answer = [one for one, _ in pairs]
            fault = next((fault for _, fault in pairs if fault is not None), None)
        else:
            answer, fault = self._answer(body)
        if fault is None:
            return web.json_response(answer)
        await asyncio.sleep(fault.seconds)
        if fault.answer == HTTP:
            return web.Response(status=fault.code, text="the fake node was told to fail")
        if fault.answer == RESET and request.transport is not None:
            request.transport.abort()
        return web.json_response(answer)
