"""JSON-RPC over HTTP, with what goes wrong sorted.

An error of the node's specification is a ``NodeError`` with its code: the node has answered, and
did not act. Everything else (time-out, dropped connection, 5xx, nonsense) is ``Unreachable``: the
node may have acted or not. Reads are repeated; a broadcast never is, that is the submitter's
decision. No message holds the URL.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any, Protocol

from jaxstark.starknet.clock import Clock, SystemClock
from jaxstark.starknet.networks import RpcUrl
from jaxstark.starknet.submission_error import NodeError, Unreachable

MAX_ANSWER = 64 << 20  # bytes
_MAX_TEXT = 20_000  # characters of a node's words
_BUSY = (429, 500, 502, 503, 504)


class Transport(Protocol):
    """Carries one request to the node."""

    def __call__(self, body: bytes, timeout: float) -> tuple[int, bytes]:
        """HTTP status and body of the answer; ``OSError`` where there is none."""
        ...


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would lose its body, and take its token to another place."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def http_transport(url: RpcUrl) -> Transport:
    """POST requests to a URL and nowhere else; a node on this machine is asked without a proxy."""
    handlers: list[Any] = [_NoRedirect()]
    if url.is_local:
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    headers = {"Content-Type": "application/json", "User-Agent": "jaxstark"}
    authorization = url.authorization()
    if authorization is not None:
        headers["Authorization"] = authorization

    def post(body: bytes, timeout: float) -> tuple[int, bytes]:
        request = urllib.request.Request(url.reveal(), body, headers)
        try:
            with opener.open(request, timeout=timeout) as answer:
                return answer.status, answer.read(MAX_ANSWER + 1)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(_MAX_TEXT)
        except http.client.HTTPException as error:
            raise OSError(type(error).__name__) from None

    return post


class Client:
    """Asks one node.

    Args:
      url: of its JSON-RPC end point.
      transport: carries requests; None for HTTP.
      timeout: seconds to wait for an answer.
      tries: how often a read is tried, with growing pauses.
      clock: to wait with.
    """

    def __init__(
        self,
        url: RpcUrl,
        transport: Transport | None = None,
        *,
        timeout: float = 30.0,
        tries: int = 6,
        clock: Clock | None = None,
    ) -> None:
        self.url = url
        self._post = transport or http_transport(url)
        self._timeout = timeout
        self._tries = tries
        self._clock = clock or SystemClock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url})"

    def send(self, method: str, params: Any) -> Any:
        """One request, once.

        Raises ``NodeError`` for an error of the specification and ``Unreachable`` for no answer.
        """
        request = {"jsonrpc": "2.0", "id": 1, "method": f"starknet_{method}", "params": params}
        body = json.dumps(request, separators=(",", ":")).encode()
        failure, status, answer = "", 0, b""
        try:
            status, answer = self._post(body, self._timeout)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            failure = self._words(str(reason) or type(reason).__name__)
        if failure:  # raised here, so that an error that may quote the URL is not chained to it
            raise Unreachable(
                f"{self.url}: {method}: no answer ({failure}); check STARKNET_RPC_URL or try again"
            )
        if status in (401, 403):
            raise Unreachable(
                f"{self.url}: {method}: the node refuses access (HTTP {status}); check the token "
                "in STARKNET_RPC_URL",
                retry=False,
            )
        try:
            content = json.loads(answer) if len(answer) <= MAX_ANSWER else None
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict) and isinstance(content.get("error"), dict):
            error = content["error"]
            code = error.get("code")
            text = self._words(error.get("message"))
            if type(code) is int and code >= 0:
                raise NodeError(method, code, text, self._words(error.get("data")))
            # Codes below 0 are of the server: malformed requests, rate limits, what it does not do.
            passing = type(code) is int and -32768 <= code <= -32000
            lasting = not passing or code in (-32600, -32601, -32602)
            data = self._words(error.get("data"))
            raise Unreachable(
                f"{self.url}: {method}: error {code}, {text} {data}".strip(), retry=not lasting
            )
        if status != 200 or not isinstance(content, dict) or "result" not in content:
            what = f"HTTP {status}" if status != 200 else "no JSON-RPC answer"
            retry = status == 200 or status in _BUSY
            raise Unreachable(f"{self.url}: {method}: {what}", retry=retry)
        return content["result"]

    def read(self, method: str, params: Any = ()) -> Any:
        """A request without effect, repeated while there is no answer."""
        for number in range(self._tries):
            try:
                return self.send(method, list(params) if isinstance(params, tuple) else params)
            except Unreachable as error:
                if not error.retry or number + 1 == self._tries:
                    raise
            self._clock.sleep(min(2.0**number / 2, 8.0))
        raise Unreachable(f"{self.url}: {method}: no answer")

    def _words(self, value: Any) -> str:
        """What a node says, on one line, without the URL, and not at any length."""
        if value is None:
            return ""
        text = value if isinstance(value, str) else json.dumps(value)
        text = " ".join(self.url.scrub(text).split())
        text = "".join(c if c.isprintable() else "?" for c in text)
        return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."

    def _nonsense(self, method: str) -> Unreachable:
        return Unreachable(
            f"{self.url}: {method}: the answer is not one of specification 0.10; use another node",
            retry=False,
        )
