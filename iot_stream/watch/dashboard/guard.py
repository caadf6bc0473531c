"""Who is let in: browsers that asked this very address, and those that show the token for anything that
changes something."""

import hmac
import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "X-Iot-Stream-Token"  # noqa: S105  the header's name
ALWAYS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
READ_ONLY = "this dashboard is read-only: `iot-stream dashboard` without --read-only lets you change things"
WHO = "the token is missing or wrong; what started the dashboard printed it, once"


class Guard:
    """Around everything. A page of another site can neither read what is shown (it asks under a name that is
    not ours, however that was made to lead here) nor change anything (it does not know the token, and may
    not send the header)."""

    def __init__(self, app: ASGIApp, names: Iterable[str], token: str, read_only: bool) -> None:
        self._app = app
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names)}
        self._token = token
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        if refusal := self._refusal(scope["method"], headers):
            status, why = refusal
            await JSONResponse({"error": why}, status)(scope, receive, sealed)
            return
        await self._app(scope, receive, sealed)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._ours(host):
            return 421, (
                f"this dashboard is not known as {_name(host)!r}: name it in `dashboard.names`, or ask for "
                "the address in numbers"
            )
        if method in ("GET", "HEAD"):
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"a page of {origin} may not change anything here"
        if self._read_only:
            return 403, READ_ONLY
        if not hmac.compare_digest(headers.get(TOKEN, "").encode(), self._token.encode()):
            return 401, WHO
        return None

    def _ours(self, host: str) -> bool:
        """An address in numbers cannot be made to lead elsewhere, as a name can."""
        name = _name(host)
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _name(host: str) -> str:
    """Of `name:port`, or `[address]:port`."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
