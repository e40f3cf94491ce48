"""Free ports of this machine."""

import socket

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Tell whether nothing listens on `port` and we may."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(preferred: int, taken: frozenset[int] = frozenset()) -> int:
    """Return `preferred`, or the next port that is free and not in `taken`."""
    for port in range(preferred, min(preferred + 1000, 65536)):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port from {preferred} on; stop something that listens on {HOST}")
