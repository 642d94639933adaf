"""From file and environment to Config."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import FieldInfo
from twisted.trial.unittest import SynchronousTestCase

from imd.config.bounds import BOUNDS
from imd.config.load import ConfigError, keys, load
from imd.config.reference import ROLES
from imd.config.sections import Config
from imd.kernel.errors import StartupError


class LoadCase(SynchronousTestCase):
    """Loads texts."""

    def file(self, text: str | bytes, name: str = "im.toml") -> str:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        path = folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def load(self, text: str = "", **environ: str) -> Config:
        return load(self.file(text) if text else "", environ)

    def problems(self, text: str = "", **environ: str) -> list[str]:
        error: ConfigError = self.assertRaises(ConfigError, self.load, text, **environ)
        return error.problems


class Sources(LoadCase):
    """Where values come from."""

    def test_no_file(self) -> None:
        """Without a file and an environment everything has its default, and is valid."""
        self.assertEqual(load("", {}), Config())

    def test_file(self) -> None:
        """The file's keys count, all others keep their defaults."""
        config = self.load('node_id = 7\n[gateway]\nqueue_messages = 5\norigins = ["https://a.example"]\n')
        self.assertEqual((config.node_id, config.gateway.queue_messages), (7, 5))
        self.assertEqual(config.gateway.origins, ["https://a.example"])
        self.assertEqual(config.gateway.max_connections, Config().gateway.max_connections)

    def test_environment_stands_above_the_file(self) -> None:
        """IM__SECTION__KEY overrides, in the spelling of people; other variables are nobody's business."""
        config = self.load(
            "node_id = 7\n[limits]\nuser_burst = 3\n",
            IM__NODE_ID="8",
            IM__LIMITS__USER_BURST="2.5",
            IM__ACCOUNTS__REGISTRATION="false",
            IM__GATEWAY__ORIGINS="https://a.example, http://b.example:81",
            IMX="1",
            PATH="/bin",
        )
        self.assertEqual((config.node_id, config.limits.user_burst), (8, 2.5))
        self.assertFalse(config.accounts.registration)
        self.assertEqual(config.gateway.origins, ["https://a.example", "http://b.example:81"])

    def test_whole_numbers_are_numbers(self) -> None:
        """30 will do where 30.0 is the default."""
        self.assertEqual(self.load("[gateway]\nheartbeat_interval_s = 20\n").gateway.heartbeat_interval_s, 20)

    def test_byte_order_mark(self) -> None:
        """Some editors begin a file with one."""
        self.assertEqual(load(self.file(b"\xef\xbb\xbfnode_id = 3\n"), {}).node_id, 3)


class Files(LoadCase):
    """Files that cannot be used."""

    def refused(self, file: str) -> str:
        return str(self.assertRaises(ConfigError, load, file, {}))

    def test_missing(self) -> None:
        """A file that was named must be there."""
        self.assertIn("nowhere.toml", self.refused("nowhere.toml"))
        self.assertIn("No such file", self.refused("nowhere.toml"))

    def test_not_toml(self) -> None:
        """Broken TOML is told with its line."""
        self.assertIn("line 2", self.refused(self.file("node_id = 1\nlisten tcp\n")))

    def test_not_utf8(self) -> None:
        """The first bad byte is told."""
        self.assertIn("byte 11 is not UTF-8", self.refused(self.file(b'data_dir = \xff"\n')))


class Problems(LoadCase):
    """What is refused, and how it is told."""

    def test_all_at_once(self) -> None:
        """Every reason is shown, each with its path, what is there and what is expected."""
        problems = self.problems(
            'nod_id = 1\n[listen]\ntpc = "x"\n[gateway]\nmax_connections = "many"\nidle_timeout_s = -1\n',
            IM__LIMITS__USER_BURST="lots",
        )
        self.assertEqual(
            problems,
            [
                "nod_id: is not a key; did you mean node_id?",
                "listen.tpc: is not a key; did you mean listen.tcp?",
                "gateway.max_connections: is 'many'; expected a whole number, 1 or more",
                "gateway.idle_timeout_s: -1 is out of range; expected a number, 0.1 to 86,400",
                "limits.user_burst (IM__LIMITS__USER_BURST): is 'lots'; expected a number, 1 or more",
            ],
        )

    def test_is_a_startup_error(self) -> None:
        """The message is one text for the operator, and ends the start."""
        error = self.assertRaises(StartupError, self.load, "a = 1\nb = 2\n")
        self.assertRegex(str(error), r"^2 problems in .*im\.toml:\n  a: .*\n  b: ")

    def test_table(self) -> None:
        """A section that is not a table is told as such, and a section's name as unknown key too."""
        self.assertEqual(self.problems("listen = 7700\n"), ["listen: is 7700; expected a table, [listen]"])
        self.assertEqual(
            self.problems("[limit]\nuser_burst = 1\n"), ["limit: is not a key; did you mean limits?"]
        )

    def test_key_of_another_section(self) -> None:
        """A key in the wrong place is pointed to the right one."""
        self.assertEqual(
            self.problems("[gateway]\nrecall_window_s = 1\n"),
            ["gateway.recall_window_s: is not a key; did you mean messages.recall_window_s?"],
        )

    def test_unknown_variable(self) -> None:
        """A variable with our prefix that names no key is a mistake, not a wish."""
        self.assertEqual(
            self.problems(IM__LISTEN__TPC="1"),
            ["listen.tpc (IM__LISTEN__TPC): is not a key; did you mean listen.tcp?"],
        )
        self.assertEqual(len(self.problems(IM__LISTEN="1", IM__="2", im__node_id="ignored")), 2)

    def test_wrong_types(self) -> None:
        """A file is taken by its word: no text for a number, no number for a truth."""
        for text in (
            'node_id = "1"',
            "node_id = true",
            "node_id = 1.5",
            "data_dir = 3",
            "[listen]\nallow_public_plaintext = 1",
            '[gateway]\norigins = "https://a.example"',
            "[gateway]\norigins = [1]",
            "[gateway]\nflush_interval_ms = nan",
            "[limits]\nuser_burst = inf",
            "node_id = 1024",
        ):
            self.assertEqual(len(self.problems(text + "\n")), 1, text)

    def test_long_values_are_cut(self) -> None:
        """A value as long as a book does not fill the terminal."""
        (problem,) = self.problems(f'node_id = "{"x" * 5000}"\n')
        self.assertLess(len(problem), 200)


class Conflicts(LoadCase):
    """What must hold between keys."""

    def refused(self, text: str, *expected: str) -> None:
        """Exactly one problem, with these words in it."""
        problems = self.problems(text)
        self.assertEqual(len(problems), 1, problems)
        for words in expected:
            self.assertIn(words, problems[0])

    def test_addresses(self) -> None:
        """An address that cannot be listened on is told with what is expected."""
        for address in (
            "7700",
            ":7700",
            "chat.example.com:7700",
            "127.0.0.1:99999",
            "::1:7700",
            "127.0.0.1:x",
        ):
            self.refused(f'[listen]\ntcp = "{address}"\n', "listen.tcp: ", "expected IP:PORT")

    def test_public_plaintext(self) -> None:
        """Nobody puts passwords on the network in the clear by accident."""
        self.refused('[listen]\ntcp = "0.0.0.0:7700"\n', "listen.tcp", "listen.tls", "allow_public_plaintext")
        self.refused('[listen]\nhttp = "[::]:80"\n', "listen.http", "listen.https")
        self.load('[listen]\nhttp = "0.0.0.0:80"\nallow_public_plaintext = true\n')
        self.load('[listen]\nhttp = "[::1]:80"\ntcp = "localhost:1"\n')

    def test_trusted_proxies(self) -> None:
        """Networks as they are, nobody's bits behind the mask, and never everybody; the header is one of two."""
        self.load(
            '[listen]\ntrusted_proxies = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]\nforwarded_header = "Forwarded"\n'
        )
        for network in ("10.0.0.1/8", "proxy.example.com", "", "0.0.0.0/0", "::/0"):
            self.refused(f'[listen]\ntrusted_proxies = ["::1", "{network}"]\n', "listen.trusted_proxies[1]: ")
        self.refused(
            '[listen]\nforwarded_header = "X-Real-IP"\n', "listen.forwarded_header", "X-Forwarded-For"
        )

    def test_nothing_to_listen_on(self) -> None:
        """A server that nobody can reach is a mistake."""
        self.refused('[listen]\ntcp = ""\nhttp = ""\n', "listens nowhere")

    def test_same_address_twice(self) -> None:
        """Two listeners cannot share a port."""
        self.refused('[listen]\ntcp = "127.0.0.1:7780"\n', "taken by listen.tcp")
        self.load('[listen]\ntcp = "127.0.0.1:0"\nhttp = "127.0.0.1:0"\n')

    def test_tls(self) -> None:
        """A TLS listener needs a certificate and a key that can be read."""
        listen = '[listen]\ntls = "0.0.0.0:7701"\n'
        self.assertEqual(
            self.problems(listen),
            [
                "tls.certificate_file: is empty; listen.tls cannot do without a PEM file here",
                "tls.private_key_file: is empty; listen.tls cannot do without a PEM file here",
            ],
        )
        pem = self.file("-----BEGIN", "server.pem")
        with_key = f'{listen}[tls]\ncertificate_file = "{pem}"\nprivate_key_file = "{pem}"\n'
        Path(pem).chmod(0o644)
        self.refused(with_key, "tls.private_key_file", "chmod 0600")
        Path(pem).chmod(0o640)
        self.refused(
            f'{listen}[tls]\ncertificate_file = "{pem}"\nprivate_key_file = "{pem}.key"\n',
            "tls.private_key_file: cannot read",
            "No such file",
        )
        self.load(with_key)

    def test_orders(self) -> None:
        """Pairs of numbers that only make sense in one order."""
        for text, path in (
            ("[gateway]\nheartbeat_interval_s = 90\n", "gateway.heartbeat_interval_s"),
            ("[gateway]\nbinary_bytes = 1000\n", "gateway.text_bytes"),
            ("[gateway]\nqueue_bytes = 2000\n", "gateway.queue_bytes"),
            ("[accounts]\nrefresh_below_s = 3600\n", "accounts.refresh_below_s"),
            ("[accounts]\nlogin_ttl_s = 3599\n", "accounts.token_ttl_s"),
        ):
            self.refused(text, path)

    def test_origins(self) -> None:
        """An origin has a scheme and a host, and no path."""
        for origin in ("null", "chat.example.com", "https://a.example/", "https://a b", "*", ""):
            self.refused(f'[gateway]\norigins = ["{origin}"]\n', "gateway.origins[0]")

    def test_no_consequences(self) -> None:
        """A conflict that only follows from another mistake is not told."""
        self.assertEqual(
            len(self.problems('[gateway]\nidle_timeout_s = "x"\nheartbeat_interval_s = 100\n')), 1
        )

    def test_data_dir(self) -> None:
        """There must be a folder to keep things in."""
        self.refused('data_dir = " "\n', "data_dir")


class Bounds(SynchronousTestCase):
    """The table of ranges."""

    def setUp(self) -> None:
        self.keys = {path: field for kind, _ in ROLES.values() for path, field in keys(kind)}

    def test_every_number_has_bounds(self) -> None:
        """No number is taken unseen, and no bound is left over from a key that went."""
        numbers = {path for path, field in self.keys.items() if field.type in (int, float)}
        self.assertEqual(numbers, set(BOUNDS))

    def test_defaults_are_in_bounds(self) -> None:
        """What we ship is what we accept."""

        def default(field: FieldInfo) -> object:
            return field.default

        outside = [
            path for path, field in self.keys.items() if path in BOUNDS and default(field) not in BOUNDS[path]
        ]
        self.assertEqual(outside, [])
