"""The server of the page: its own socket, and headers that confine the browser."""

import errno
import os
import socket
from ipaddress import ip_address
from typing import Any

import uvicorn

from adapt.errors import UserError

# With this policy the browser refuses every request to another address, whichever script of the page makes it.
OWN_ORIGIN = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [(b"content-security-policy", OWN_ORIGIN.encode()), (b"referrer-policy", b"no-referrer")]
PATIENCE = 1  # seconds to wait for open pages at shutdown


class KeepToOrigin:
    """An ASGI application whose pages cannot make requests beyond their own origin."""

    def __init__(self, application: Any):
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request with the headers added."""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
            await send(message)

        await self.application(scope, receive, send_with_headers)


def listen(host: str, port: int) -> socket.socket:
    """Open a socket that listens at an address.

    Raises:
        UserError: for a port in use or out of range, and for an address that this machine does not have.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError, OverflowError) as error:
        raise UserError(f"--host {host}: there is no such address ({error}); the default is 127.0.0.1") from None
    if os.name == "posix":  # on other systems this option would allow a port that is in use
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        raise UserError(problem(error, host, port)) from None
    return listening


def problem(error: OSError, host: str, port: int) -> str:
    """Return why an address cannot be used."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; give another, such as --port {port + 1}, or --port 0 for any free one"
    if error.errno == errno.EACCES:
        return f"port {port} of {host} is not yours to use; give one from 1024 on"
    return f"--host {host}: this machine does not have this address ({error.strerror}); the default is 127.0.0.1"


def address(listening: socket.socket) -> str:
    """Return the address of a socket as a URL for the browser."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(host), str(host))
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_local(listening: socket.socket) -> bool:
    """Return whether only this machine can reach a socket."""
    return ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def serve(application: Any, listening: socket.socket) -> None:
    """Answer requests until a signal arrives, which is then raised again."""
    config = uvicorn.Config(
        KeepToOrigin(application), log_level="critical", ws="none", timeout_graceful_shutdown=PATIENCE
    )
    uvicorn.Server(config).run(sockets=[listening])
