"""Certificates with one fault each."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import Certificate
from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.doctor import certificates
from imd.ctl.doctor.finding import Level
from imd.ctl.doctor.targets import targets_of
from imd.ctl.doctor.world import World

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    name: str, key: Key, *, issuer: str = "", signer: Key | None = None, days: int = 300,
    begins: dt.datetime = NOW - DAY, hosts: tuple[str, ...] = ("chat.example.com",),
) -> Certificate:  # fmt: skip
    """Signed by ``signer``, or by itself."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    by = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer or name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(max(NOW + days * DAY, begins + DAY))
    )
    if hosts:
        names = [x509.DNSName(host) for host in hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer or key, hashes.SHA256())


class CertificateCase(SynchronousTestCase):
    """A role with [tls]."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.key = new_key()

    def found(self, *chain: Certificate, key: Key | None = None, more: str = "") -> dict[str, Level]:
        """By check, the worst of what is found."""
        pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)
        (self.folder / "c.pem").write_bytes(pem)
        key_file = self.folder / "k.pem"
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            (key or self.key).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        file = self.folder / "core.toml"
        file.write_text(
            f'[tls]\ncertificate_file = "{self.folder}/c.pem"\nprivate_key_file = "{key_file}"\n{more}'
        )
        (target,) = targets_of([f"im-core={file}"], {})
        self.assertEqual(target.examined.problems, [])
        world = World({}, lambda: int(NOW.timestamp() * 1000), lambda: 0.0, Path("/proc"))
        levels: dict[str, Level] = {}
        for each in certificates.certificates(target, world):
            levels[each.check] = max(each.level, levels.get(each.check, Level.OK))
        return levels

    def bad(self, *chain: Certificate, key: Key | None = None, more: str = "") -> dict[str, Level]:
        found = self.found(*chain, key=key, more=more)
        return {check: level for check, level in found.items() if level > Level.NOTE}

    def issued(self) -> tuple[Certificate, Certificate]:
        """A certificate and its authority's."""
        authority = new_key()
        root = certificate("root", authority, hosts=())
        return certificate("chat", self.key, issuer="root", signer=authority), root


class Faults(CertificateCase):
    """What is wrong with them."""

    def test_good(self) -> None:
        """A chain in order, and one that is signed by itself, which is a note."""
        self.assertEqual(self.bad(*self.issued()), {})
        self.assertEqual(self.found(certificate("chat", self.key))["tls.chain"], Level.NOTE)

    def test_wrong_key(self) -> None:
        """The key of another certificate."""
        self.assertEqual(self.bad(*self.issued(), key=new_key()), {"tls.pair": Level.FAIL})

    def test_chain(self) -> None:
        """The wrong way round, and one by somebody else of that name."""
        leaf, root = self.issued()
        self.assertIn("tls.chain", self.bad(root, leaf))
        other = certificate("root", new_key(), hosts=())
        self.assertEqual(self.bad(leaf, other), {"tls.chain": Level.FAIL})

    def test_expiry(self) -> None:
        """Expired, soon to expire, and not valid yet; of the authority as well."""
        for days, begins, level in (
            (-1, NOW - 10 * DAY, Level.FAIL),
            (29, NOW - DAY, Level.WARN),
            (31, NOW - DAY, Level.OK),
            (400, NOW + DAY, Level.FAIL),
        ):
            found = self.found(certificate("chat", self.key, days=days, begins=begins))
            self.assertEqual(found["tls.expiry"], level, days)

    def test_weak(self) -> None:
        """An RSA key of 1,024 bits."""
        weak = rsa.generate_private_key(65537, 1024)
        self.assertEqual(self.bad(certificate("chat", weak), key=weak), {"tls.strength": Level.FAIL})

    def test_names(self) -> None:
        """Clients are sent to a name that the certificate does not have; a wildcard stands for one label."""
        listen = '[listen]\nhttps = "127.0.0.1:1"\n[node]\n'
        for public, level in (
            ('public_ws = "wss://chat.example.com/ws"', Level.OK),
            ('public_ws = "wss://other.example.com:8443/ws"', Level.FAIL),
            ('public_tls = "a.b.example.com:7701"', Level.FAIL),
        ):
            found = self.found(*self.issued(), more=f"{listen}{public}\n")
            self.assertEqual(found["tls.names"], level, public)
        self.assertTrue(certificates.is_covered("a.example.com", ["*.example.com"]))
        self.assertFalse(certificates.is_covered("a.b.example.com", ["*.example.com"]))
        self.assertIn("tls.names", self.bad(certificate("chat", self.key, hosts=())))

    def test_no_certificate(self) -> None:
        """A file with something else in it."""
        self.assertEqual(self.bad(), {"tls.pair": Level.FAIL})
