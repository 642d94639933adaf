"""Certificates: of the role itself, as files and as they are served, and those that it trusts."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import Certificate, load_der_x509_certificate, load_pem_x509_certificates

from imd.config.address import Address, parse_address, parse_host
from imd.config.listeners import value_at
from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.doctor.targets import Target
from imd.ctl.doctor.world import World

PAIR = Check("tls.pair", "the role does not start with them")
CHAIN = Check("tls.chain", "clients cannot follow the certificate to somebody whom they trust")
EXPIRY = Check("tls.expiry", "from that day on nobody connects")
STRENGTH = Check("tls.strength", "clients of today refuse it, and others should")
NAMES = Check("tls.names", "clients that were sent there refuse the certificate")
SERVED = Check("tls.served", "clients see what is served, not what is in the file")
PROTOCOL = Check("tls.protocol", "TLS below 1.2 is broken")

#: Time to act: renewals are tried again for weeks before that.
SOON = dt.timedelta(days=30)
_RSA_BITS, _CURVE_BITS = 2048, 224
_WEAK_HASHES = ("md5", "sha1")
_CALL_TIMEOUT_S = 3.0
_TRUSTED = ("nats.ca_file", "mongo.ca_file", "redis.ca_file", "sql.ca_file")


def certificates(target: Target, world: World) -> Iterator[Finding]:
    """All of a role."""
    now = dt.datetime.fromtimestamp(world.wall_clock() / 1000, dt.UTC)
    yield from pair(target, "tls", now)
    yield from pair(target, "nats", now)
    for path in _TRUSTED:
        file = _file(target, path)
        for certificate in _loaded(file) if file else []:
            yield expiry(f"{path}, {file}", certificate, now)
    chain = _loaded(_file(target, "tls.certificate_file"))
    if chain:
        yield from names(target, chain[0])
        for key in ("listen.tls", "listen.https"):
            text = value_at(target.config, key)
            if text and not target.is_wrong(key):
                yield from served(f"{key} = {text}", parse_address(text), chain[0])


def pair(target: Target, section: str, now: dt.datetime) -> Iterator[Finding]:
    """A certificate, its chain and its key."""
    file = _file(target, f"{section}.certificate_file")
    key_file = _file(target, f"{section}.private_key_file")
    if not file or not key_file:
        return
    about = f"{section}.certificate_file, {file}"
    chain = _loaded(file)
    if not chain:
        yield PAIR.fail(
            about, "holds no certificate that can be read", "it must be PEM, the server's certificate first"
        )
        return
    yield fits(about, chain[0], key_file)
    yield from chained(about, chain)
    for certificate in chain:
        yield expiry(about, certificate, now)
    yield strength(about, chain[0])


def fits(about: str, certificate: Certificate, key_file: str) -> Finding:
    try:
        key = load_pem_private_key(Path(key_file).read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        return PAIR.fail(
            about, f"its key {key_file} cannot be read: {error}", "it must be PEM, without a passphrase"
        )
    ours, theirs = (
        each.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for each in (key.public_key(), certificate.public_key())
    )
    if ours != theirs:
        return PAIR.fail(
            about, f"{key_file} is the key of another certificate", "give the key that it was made with"
        )
    return PAIR.ok(about, f"{key_file} is its key")


def chained(about: str, chain: Sequence[Certificate]) -> Iterator[Finding]:
    """Each is signed by the one behind it."""
    for index, (lower, upper) in enumerate(pairwise(chain), 1):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature):
            yield CHAIN.fail(
                about,
                f"number {index} ({_name(lower)}) is not signed by number {index + 1} ({_name(upper)})",
                "put the server's certificate first, then who signed it, then who signed that",
            )
            return
    if len(chain) == 1 and chain[0].issuer == chain[0].subject:
        yield CHAIN.note(about, "is signed by itself", "have clients trust it, or get one from an authority",
                         means="clients that were not told of it refuse it")  # fmt: skip
        return
    yield CHAIN.ok(about, f"{len(chain)} in order")


def expiry(about: str, certificate: Certificate, now: dt.datetime) -> Finding:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    found = f"{_name(certificate)} is valid until {ends:%Y-%m-%d %H:%M} UTC"
    if now >= ends:
        return EXPIRY.fail(about, f"{found}: it has expired", "renew it, and restart the server",
                           means="whoever checks it refuses it")  # fmt: skip
    if now < begins:
        return EXPIRY.fail(about, f"{_name(certificate)} is only valid from {begins:%Y-%m-%d %H:%M} UTC on",
                           "set this machine's clock, or wait", means="whoever checks it refuses it")  # fmt: skip
    if ends - now < SOON:
        return EXPIRY.warn(about, f"{found}: {(ends - now).days} days", "renew it, and restart the server")
    return EXPIRY.ok(about, found)


def strength(about: str, certificate: Certificate) -> Finding:
    key = certificate.public_key()
    weak = ""
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS:
        weak = f"an RSA key of {key.key_size} bits"
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < _CURVE_BITS:
        weak = f"a key on a curve of {key.key_size} bits"
    signed_with = certificate.signature_hash_algorithm
    if signed_with is not None and signed_with.name in _WEAK_HASHES:
        weak = f"a signature with {signed_with.name}"
    if weak:
        return STRENGTH.fail(about, f"has {weak}", "make a new key (EC P-256, or RSA of 2048 bits and more)")
    return STRENGTH.ok(about, "key and signature are strong")


def names(target: Target, certificate: Certificate) -> Iterator[Finding]:
    """Where clients are sent over TLS must be a name of the certificate."""
    about = f"tls.certificate_file of {target.name}"
    covered = _names(certificate)
    wrong = [(path, host) for path, host in _public_hosts(target) if not is_covered(host, covered)]
    for path, host in wrong:
        yield NAMES.fail(
            about,
            f"is for {', '.join(covered) or 'no name at all'}, and {path} sends clients to {host}",
            "get a certificate with that name, or send clients to a name that it has",
        )
    if not covered:
        yield NAMES.fail(about, "has no name (subjectAltName)", "get one with the name by which clients call the server",
                         means="no client accepts it")  # fmt: skip
    elif not wrong:
        yield NAMES.ok(about, f"is for {', '.join(covered)}")


def is_covered(host: str, names: Sequence[str]) -> bool:
    """A wildcard stands for one label (RFC 6125)."""
    host = host.lower().rstrip(".")
    return any(
        host == name.lower() or (fnmatchcase(host, name.lower()) and host.count(".") == name.count("."))
        for name in names
    )


def served(about: str, address: Address, expected: Certificate) -> Iterator[Finding]:
    """What the running server shows; nothing if none runs."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 - compared only
    shown = _shown(host, address.port, _context())
    if shown is None:
        return
    if shown != expected:
        yield SERVED.warn(
            about,
            f"serves a certificate valid until {shown.not_valid_after_utc:%Y-%m-%d}, the file holds one until "
            f"{expected.not_valid_after_utc:%Y-%m-%d}",
            "restart the server: it reads the file at its start",
        )
    else:
        yield SERVED.ok(about, "serves the certificate of the file")
    if _shown(host, address.port, _context(old=True)) is not None:
        yield PROTOCOL.warn(about, "speaks TLS 1.1 or older", "see what stands between: imd itself does not")
    else:
        yield PROTOCOL.ok(about, "speaks TLS 1.2 or newer only")


def _context(*, old: bool = False) -> ssl.SSLContext:
    """Trusts everybody: what is shown is compared, and nothing is said there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if old:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def _shown(host: str, port: int, context: ssl.SSLContext) -> Certificate | None:
    try:
        with (
            socket.create_connection((host, port), _CALL_TIMEOUT_S) as plain,
            context.wrap_socket(plain) as secure,
        ):
            shown = secure.getpeercert(binary_form=True)
    except OSError:
        return None
    return load_der_x509_certificate(shown) if shown else None


def _file(target: Target, path: str) -> str:
    return "" if target.is_wrong(path) else value_at(target.config, path) or ""


def _loaded(file: str) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(Path(file).read_bytes()) if file else []
    except (OSError, ValueError):
        return []


def _public_hosts(target: Target) -> Iterator[tuple[str, str]]:
    tls, ws = value_at(target.config, "node.public_tls"), value_at(target.config, "node.public_ws")
    if tls and not target.is_wrong("node.public_tls"):
        yield "node.public_tls", parse_host(tls)[0]
    if ws and ws.startswith("wss://") and value_at(target.config, "listen.https"):
        yield "node.public_ws", urlsplit(ws).hostname or ""


def _names(certificate: Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(ip_address(str(each))) for each in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _name(certificate: Certificate) -> str:
    return certificate.subject.rfc4514_string() or "a certificate without a name"
