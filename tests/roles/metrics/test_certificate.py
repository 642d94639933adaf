"""How long the certificate lasts."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificate
from twisted.trial.unittest import SynchronousTestCase

from imd.config.sections import AdminListen, CoreListen, Tls
from imd.ops.metrics.readings import Readings
from imd.roles.metrics.certificate import certificate_in_use, certificate_source
from tests.live.certificate import write_certificate


class Certificate(SynchronousTestCase):
    """A self-signed one."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.file = folder / "certificate.pem"
        write_certificate(self.file, folder / "key.pem")
        self.ends = load_pem_x509_certificate(self.file.read_bytes()).not_valid_after_utc

    def test_end(self) -> None:
        """Unix time; a file that is renewed meanwhile is not what clients get."""
        read = certificate_source(str(self.file))
        wanted = [("imd_certificate_expiry_timestamp_seconds", self.ends.timestamp(), ())]
        self.assertEqual([tuple(reading) for reading in read()], wanted)
        self.file.unlink()
        self.assertEqual([tuple(reading) for reading in read()], wanted)

    def test_chain(self) -> None:
        """The first of a chain to run out counts, for then all of it is worth nothing."""
        later = self.file.with_name("later.pem")
        write_certificate(later, self.file.with_name("later.key"), days=30)
        self.file.write_bytes(later.read_bytes() + self.file.read_bytes())
        (reading,) = certificate_source(str(self.file))()
        self.assertEqual(reading.value, self.ends.timestamp())
        self.assertLess(self.ends, dt.datetime.now(dt.UTC) + dt.timedelta(days=2))

    def test_unreadable(self) -> None:
        """It is missing then, and counted as such; the rest of the page is not touched."""
        self.file.write_text("no certificate")
        readings = Readings([certificate_source(str(self.file))])
        self.assertEqual([family.name for family in readings.collect()], ["imd_metrics_failures"])
        self.assertEqual(readings.failures, 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_in_use(self) -> None:
        """Only where something is served with it."""
        tls = Tls(certificate_file="c.pem", private_key_file="k.pem")
        self.assertEqual(certificate_in_use(CoreListen(), tls), "")
        self.assertEqual(certificate_in_use(CoreListen(tls="127.0.0.1:1"), tls), "c.pem")
        self.assertEqual(certificate_in_use(CoreListen(https="127.0.0.1:1"), tls), "c.pem")
        self.assertEqual(certificate_in_use(AdminListen(https="127.0.0.1:1"), tls), "c.pem")
        self.assertEqual(certificate_in_use(AdminListen(), tls), "")
