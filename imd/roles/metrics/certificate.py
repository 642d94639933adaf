"""How long the certificate lasts that TLS is served with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Protocol

from cryptography.x509 import load_pem_x509_certificates

from imd.config.sections import Tls
from imd.ops.metrics.readings import Reading, Source


class SecureAddresses(Protocol):
    """Of any role's [listen]; those of a gateway have ``tls``, too."""

    @property
    def https(self) -> str: ...


def certificate_in_use(listen: SecureAddresses, tls: Tls) -> str:
    """The file that TLS is served with; empty: it is not."""
    return tls.certificate_file if listen.https or getattr(listen, "tls", "") else ""


def certificate_source(file: str) -> Source:
    """Read once, as the listeners do: a new file counts from the next start on."""

    @cache
    def expires_s() -> float:
        chain = load_pem_x509_certificates(Path(file).read_bytes())
        return min(each.not_valid_after_utc for each in chain).timestamp()

    def read() -> Iterator[Reading]:
        yield Reading("imd_certificate_expiry_timestamp_seconds", expires_s())

    return read
