"""Asking one node for its metrics, within bounds: neither a slow nor a talkative one stops the view."""

from __future__ import annotations

import socket
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

from imd.ctl.top.samples import Samples, parsed

#: A node says some 100 KiB; what says more is not a node.
MAX_BYTES = 8 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
PATH = "/metrics"


class NoAnswer(Exception):
    """The node said nothing that can be shown; the message says why, in a few words."""


def scrape(host: str, port: int, *, timeout_s: float, seconds: Callable[[], float]) -> Samples:
    """What the node says now; blocks.

    :param timeout_s: for all of it.
    :param seconds: monotonic time.
    :raises NoAnswer: it is down, too slow, or something else.
    """
    at_s = seconds()
    # Not urllib: that one would ask the proxy of the environment.
    connection = HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", PATH, headers={"Accept": "text/plain"})
        response = connection.getresponse()
        if response.status != 200:
            raise NoAnswer(f"HTTP {response.status} at {PATH}: is this the port in [metrics]?")
        body = bytearray()
        while chunk := response.read1(_CHUNK_BYTES):
            body += chunk
            if len(body) > MAX_BYTES:
                raise NoAnswer(f"says more than {MAX_BYTES >> 20} MiB")
            if seconds() - at_s > timeout_s:
                raise NoAnswer(f"no whole answer in {timeout_s:g} s")
        return parsed(body.decode("utf-8"), at_s=at_s)
    except TimeoutError:
        raise NoAnswer(f"no answer in {timeout_s:g} s") from None
    except ConnectionRefusedError:
        raise NoAnswer("connection refused") from None
    except socket.gaierror:
        raise NoAnswer("no such host") from None
    except OSError as error:
        raise NoAnswer(error.strerror or str(error)) from None
    except HTTPException as error:
        raise NoAnswer(f"does not speak HTTP ({type(error).__name__})") from None
    except ValueError:
        raise NoAnswer("says no metrics") from None
    finally:
        connection.close()
