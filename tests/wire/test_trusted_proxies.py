"""Who may say where a client is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.config.address import parse_network
from imd.wire.trusted_proxies import FORWARDED, MAX_HOPS, TrustedProxies

PROXY, OTHER_PROXY, CLIENT, LIAR = "10.0.0.1", "10.0.0.2", "203.0.113.7", "198.51.100.6"


class Believing(SynchronousTestCase):
    """``TrustedProxies.client_of``."""

    def setUp(self) -> None:
        networks = [parse_network(text) for text in ("10.0.0.0/24", "fd00::/8")]
        self.proxies = TrustedProxies(networks)
        self.standard = TrustedProxies(networks, header=FORWARDED)

    def test_believed(self) -> None:
        """A proxy of ours says where its client is, over several of ours if need be."""
        for header, client in (
            (CLIENT, CLIENT),
            (f" {CLIENT} ", CLIENT),
            (f"{CLIENT}, {OTHER_PROXY}", CLIENT),
            (f"{CLIENT}:4711", CLIENT),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:DB8::7]:4711", "2001:db8::7"),
            (f"::ffff:{CLIENT}", CLIENT),
        ):
            for peer in (PROXY, f"::ffff:{PROXY}", "fd00::1"):
                self.assertEqual(self.proxies.client_of(peer, header), client, header)

    def test_not_a_proxy(self) -> None:
        """What anybody else claims is ignored."""
        self.assertEqual(self.proxies.client_of(LIAR, CLIENT), LIAR)
        self.assertEqual(TrustedProxies().client_of(PROXY, CLIENT), PROXY)
        self.assertFalse(self.proxies.trusts("local"))

    def test_invented(self) -> None:
        """What a client wrote itself stands before what our proxy added, and is not read."""
        for lie in ("127.0.0.1", PROXY, "rubbish", "unknown", "", ", ,", "1.1.1.1, 2.2.2.2"):
            self.assertEqual(self.proxies.client_of(PROXY, f"{lie}, {LIAR}"), LIAR, lie)
            self.assertEqual(self.proxies.client_of(PROXY, f"{lie}, {LIAR}, {OTHER_PROXY}"), LIAR, lie)

    def test_said_nothing(self) -> None:
        """Without a header, or where it says nothing, the client is the proxy that came last."""
        for header in (None, "", "unknown", "rubbish", f"{CLIENT}, _hidden"):
            self.assertEqual(self.proxies.client_of(PROXY, header), PROXY)
        self.assertEqual(self.proxies.client_of(PROXY, f"unknown, {OTHER_PROXY}"), OTHER_PROXY)

    def test_long(self) -> None:
        """A list without end costs a bounded look."""
        header = ", ".join([CLIENT, *[OTHER_PROXY] * (MAX_HOPS + 3)])
        self.assertEqual(self.proxies.client_of(PROXY, header), OTHER_PROXY)
        self.assertEqual(self.proxies.client_of(PROXY, "," * 60_000 + LIAR), LIAR)

    def test_standard(self) -> None:
        """The same in the words of RFC 7239."""
        for header, client in (
            (f"for={CLIENT}", CLIENT),
            (f"For={CLIENT};proto=http;by={PROXY}", CLIENT),
            (f'proto=https; for="{CLIENT}:4711"', CLIENT),
            ('for="[2001:db8::7]:4711"', "2001:db8::7"),
            (f"for={LIAR}, for={CLIENT}", CLIENT),
            (f"for={CLIENT}, for={OTHER_PROXY};proto=https", CLIENT),
            ("for=_hidden", PROXY),
            ("for=unknown", PROXY),
            (CLIENT, PROXY),
            (f"by={CLIENT}", PROXY),
        ):
            self.assertEqual(self.standard.client_of(PROXY, header), client, header)
