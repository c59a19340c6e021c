"""Who may ask, and what every answer carries.

Only GET and HEAD; only host names that are the page's own, since another site could resolve its own name to this machine;
the token, where there is one, as a Bearer header or as the password that a browser asks for, never in an address.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
QUERY_BYTES = 4_096
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_ASK_FOR_IT = 'Basic realm="netbasis", charset="UTF-8", Bearer realm="netbasis"'


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may ask.

    names:  the host names that the page answers to, in lower case, without a port
    token:  what has to be given; None for nothing
    """

    names: frozenset[str]
    token: str | None = None

    @classmethod
    def of(cls, names: Iterable[str], token: str | None) -> Rules:
        """The rules for loopback and further names."""
        return cls(frozenset((*LOOPBACK_NAMES, *(name.lower().strip("[]") for name in names))), token)

    def refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that may not be made; None for one that may."""
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            return _text(405, "this page is only read: GET and HEAD", {"Allow": "GET, HEAD"})
        if not self._answers_to(headers.getlist("host")):
            return _text(421, "this page does not answer to that host name; see `netbasis serve --help`, --name")
        if self.token is not None and not _gives(headers.getlist("authorization"), self.token):
            return _text(
                401, "give the token: as a Bearer header, or as the password", {"WWW-Authenticate": _ASK_FOR_IT}
            )
        if len(scope["query_string"]) > QUERY_BYTES:
            return _text(414, f"the address has more than {QUERY_BYTES} bytes after its question mark")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return _text(403, "another site may link here, and not load anything from here")
        return None

    def _answers_to(self, hosts: list[str]) -> bool:
        return len(hosts) == 1 and host_name(hosts[0]) in self.names


def host_name(host: str) -> str:
    """The name of a Host header without its port, in lower case: `[::1]:80` is `::1`."""
    name = host.lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def _gives(given: list[str], token: str) -> bool:
    if len(given) != 1:
        return False
    scheme, _, credentials = given[0].partition(" ")
    match scheme.lower():
        case "bearer":
            offered = credentials.strip().encode("latin-1", "replace")
        case "basic":
            try:
                offered = base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return False
        case _:
            return False
    # Digests are of one length, so that the comparison does not tell how long the token is.
    return hmac.compare_digest(hashlib.sha256(offered).digest(), hashlib.sha256(token.encode()).digest())


def _text(status: int, said: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{said}\n", status, headers)


class Gate:
    """Around the application: refuses what may not be asked, and adds the headers to every answer."""

    def __init__(self, inside: ASGIApp, rules: Rules) -> None:
        self._inside = inside
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._inside(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, text in HEADERS.items():
                    headers[name] = text
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._rules.refusal(scope) or self._inside
        await answer(scope, receive, send_guarded)
