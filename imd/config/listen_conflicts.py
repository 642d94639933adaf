"""What must hold of [listen]: addresses that can be opened, and who may be believed about clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from imd.config.address import EXPECTED, EXPECTED_NETWORK, Address, parse_address, parse_network
from imd.config.conflict import Conflict
from imd.config.sections import BusinessListen, CoreListen, Listen

#: Plain listeners, and what to use instead.
_ENCRYPTED = {"tcp": "listen.tls", "http": "listen.https"}
_FORWARDED_HEADERS = ("X-Forwarded-For", "Forwarded")
_LISTENERS = ("tcp", "tls", "http", "https")


class AnyListen(Protocol):
    """Where any role listens; some have no tcp and tls."""

    @property
    def http(self) -> str: ...

    @property
    def https(self) -> str: ...

    @property
    def allow_public_plaintext(self) -> bool: ...


def listeners_of(listen: AnyListen) -> dict[str, str]:
    """The addresses that are not empty, by the name of their key."""
    return {name: text for name in _LISTENERS if (text := getattr(listen, name, ""))}


def of_listen(listen: AnyListen, given: dict[str, str]) -> Iterator[Conflict]:
    """What is wrong with the listeners ``given``, and with what is believed there."""
    yield from _addresses(listen, given)
    if isinstance(listen, Listen | CoreListen | BusinessListen):
        yield from _proxies(listen)


def _addresses(listen: AnyListen, given: dict[str, str]) -> Iterator[Conflict]:
    taken: dict[Address, str] = {}
    for name, text in given.items():
        path = f"listen.{name}"
        try:
            address = parse_address(text)
        except ValueError as error:
            yield Conflict(path, f"{error}; expected {EXPECTED}")
            continue
        if address.port and address in taken:
            yield Conflict(path, f"{address} is taken by {taken[address]}", (taken[address],))
        taken[address] = path
        if name in _ENCRYPTED and address.is_public and not listen.allow_public_plaintext:
            yield Conflict(
                path,
                f"{address} can be reached by others and is not encrypted; use {_ENCRYPTED[name]} "
                "with a certificate, or set listen.allow_public_plaintext if a proxy adds TLS",
                ("listen.allow_public_plaintext",),
            )
    if not given:
        names = [name for name in _LISTENERS if hasattr(listen, name)]
        yield Conflict(
            "listen",
            f"listens nowhere; expected at least one of {', '.join(names)}",
            tuple(f"listen.{name}" for name in names),
        )


def _proxies(listen: Listen | CoreListen | BusinessListen) -> Iterator[Conflict]:
    if listen.forwarded_header not in _FORWARDED_HEADERS:
        yield Conflict(
            "listen.forwarded_header",
            f"is {listen.forwarded_header!r}; expected one of {', '.join(_FORWARDED_HEADERS)}",
        )
    for index, text in enumerate(listen.trusted_proxies):
        try:
            parse_network(text)
        except ValueError as error:
            yield Conflict(
                f"listen.trusted_proxies[{index}]",
                f"{error}; expected {EXPECTED_NETWORK}",
                ("listen.trusted_proxies",),
            )


def of_shared_ports(listen: CoreListen) -> Iterator[Conflict]:
    """Whether other nodes can open the same ports, if they are to."""
    if not listen.reuse_port:
        return
    for name in _LISTENERS:
        if getattr(listen, name).endswith(":0"):
            yield Conflict(
                f"listen.{name}",
                "port 0 would be another for each node; expected a port that they can share",
                ("listen.reuse_port",),
            )
