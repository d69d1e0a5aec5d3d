"""A TCP proxy on loopback that refuses, delays or breaks connections for as long as it is told to."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator


class Proxy:
    """Connections to `port` end at `target` (a port too). `mode`: pass, refuse, slow (0.2 s a piece), reset (in the
    middle of the first answer)."""

    def __init__(self, target: int) -> None:
        self.target, self.mode, self.faults = target, "pass", 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self.mode == "refuse":
                self._break(client)
                return
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                while True:
                    for source in select.select([client, server], [], [])[0]:
                        data = source.recv(65536)
                        if not data:
                            return
                        if self.mode == "slow":
                            self.faults += 1
                            time.sleep(0.2)
                        if self.mode == "refuse" or (self.mode == "reset" and source is server):
                            client.sendall(data[: len(data) // 2] if self.mode == "reset" else b"")
                            self._break(client)
                            return
                        (server if source is client else client).sendall(data)

    def _break(self, client: socket.socket) -> None:
        """Close with a reset instead of an end."""
        self.faults += 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


@contextlib.contextmanager
def proxy_to(target: int) -> Iterator[Proxy]:
    """A proxy to a port, closed at the end."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
