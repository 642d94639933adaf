"""What only the files of the cluster's roles can have wrong."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config.load import ConfigError, load
from imd.config.section import Section
from imd.config.sections import AdminConfig, BusinessConfig, Config, CoreConfig

TOKEN = "0123456789abcdef0123456789abcdef"


class RoleCase(SynchronousTestCase):
    """Loads texts for a role."""

    def file(self, text: str, name: str = "role.toml", *, mode: int = 0o600) -> str:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        path = folder / name
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def business(self, text: str = "") -> str:
        """``text`` after the one key that im-business cannot do without."""
        return f'token_secret_file = "{self.file(TOKEN)}"\n{text}'

    def problems(self, kind: type[Section], text: str, **environ: str) -> list[str]:
        error: ConfigError = self.assertRaises(ConfigError, load, self.file(text), environ, kind)
        return error.problems

    def refused(self, kind: type[Section], text: str, *expected: str) -> None:
        """Exactly one problem, with these words in it."""
        if kind is BusinessConfig and "token_secret_file" not in text:
            text = self.business(text)
        problems = self.problems(kind, text)
        self.assertEqual(len(problems), 1, problems)
        for words in expected:
            self.assertIn(words, problems[0])


class AllAtOnce(RoleCase):
    """Each role tells everything that is wrong, at once."""

    def test_core(self) -> None:
        """Keys of other roles, bad servers, missing files, conflicts: one line each."""
        problems = self.problems(
            CoreConfig,
            """data_dir = "x"
            [listen]
            http = "0.0.0.0:80"
            [limits]
            logins_per_min = 3
            [nats]
            servers = ["http://a:1", "nats://b"]
            user = "core"
            [mongo]
            hot_days = 6
            [redis]
            address = "6379"
            password_file = "/nowhere"
            [sql]
            user = "x"
            """,
            IM__MONGO__HOSTS="a:1,b:99999",
        )
        self.assertEqual(
            [problem.partition(": ")[0] for problem in problems],
            [
                "data_dir",
                "sql",
                "limits.logins_per_min",
                "mongo.hot_days",
                "listen.http",
                "nats.servers[0]",
                "nats.servers[1]",
                "nats.password_file",
                "mongo.hosts[1]",
                "mongo.hosts[0]",
                "redis.address",
                "redis.password_file",
            ],
        )

    def test_business(self) -> None:
        """The same for im-business, which has no TCP port and no messages."""
        problems = self.problems(
            BusinessConfig,
            """[listen]
            tcp = "127.0.0.1:7700"
            http = ""
            [gateway]
            max_connections = 3
            [messages]
            batch_size = 1
            [sql]
            database = "a/b"
            user = ""
            """,
        )
        self.assertEqual(
            [problem.partition(": ")[0] for problem in problems],
            [
                "messages",
                "listen.tcp",
                "gateway.max_connections",
                "token_secret_file",
                "listen",
                "sql.database",
                "sql.user",
            ],
        )

    def test_admin(self) -> None:
        """The same for im-admin, which has little to configure."""
        problems = self.problems(
            AdminConfig,
            'bootstrap_token_file = ""\n[listen]\nhttps = "0.0.0.0:1"\n[gateway]\norigins = []\n[sql]\naddress = "x"\n',
        )
        self.assertEqual(
            [problem.partition(": ")[0] for problem in problems],
            [
                "gateway",
                "bootstrap_token_file",
                "tls.certificate_file",
                "tls.private_key_file",
                "sql.address",
            ],
        )

    def test_environment(self) -> None:
        """The environment overrides, and its mistakes are told, in every role."""
        config = load("", {"IM__NATS__SERVERS": "tls://a:1, nats://b:2", "IM__NODE_ID": "9"}, CoreConfig)
        self.assertEqual((config.node_id, config.nats.servers), (9, ["tls://a:1", "nats://b:2"]))
        self.assertEqual(
            self.problems(AdminConfig, "", IM__GATEWAY__ORIGINS="x"),
            ["gateway.origins (IM__GATEWAY__ORIGINS): is not a key"],
        )


class Secrets(RoleCase):
    """Files that hold passwords."""

    def test_password_file(self) -> None:
        """It must be there, hold something, and be closed to everybody else; the secret itself is never shown."""
        for kind, section, user in (
            (CoreConfig, "nats", 'user = "u"'),
            (CoreConfig, "mongo", 'user = "u"'),
            (CoreConfig, "redis", ""),
            (BusinessConfig, "nats", 'user = "u"'),
            (BusinessConfig, "sql", 'user = "u"'),
            (AdminConfig, "sql", 'user = "u"'),
        ):
            for path, words in (
                (self.file("hunter2", mode=0o644), "chmod 0600"),
                (self.file("hunter2", mode=0o602), "chmod 0600"),
                (self.file("\n"), "is empty"),
                (self.file("x" * 5000), "too long"),
                ("/nowhere/at/all", "No such file"),
            ):
                text = f'[{section}]\n{user}\npassword_file = "{path}"\n'
                self.refused(kind, text, f"{section}.password_file: ", words)
                text = text if kind is not BusinessConfig else self.business(text)
                self.assertNotIn("hunter2", "".join(self.problems(kind, text)))
            for mode in (0o600, 0o400, 0o640):
                path = self.file("hunter2\n", mode=mode)
                text = f'[{section}]\n{user}\npassword_file = "{path}"\n'
                load(self.file(text if kind is not BusinessConfig else self.business(text)), {}, kind)

    def test_user_without_password(self) -> None:
        """Half an account is a mistake."""
        self.refused(CoreConfig, '[mongo]\nuser = "u"\n', "mongo.password_file: is empty")
        path = self.file("x")
        self.refused(CoreConfig, f'[mongo]\npassword_file = "{path}"\n', "mongo.user: is empty")
        self.refused(AdminConfig, f'[nats]\npassword_file = "{path}"\n', "nats.user: is empty")

    def test_no_password_in_an_address(self) -> None:
        """An address is printed and logged, so no password may stand in it, and the refusal does not show it."""
        text = '[nats]\nservers = ["nats://core:hunter2@127.0.0.1:4222"]\n'
        self.refused(CoreConfig, text, "nats.servers[0]", "password_file")
        self.assertNotIn("hunter2", self.problems(CoreConfig, text)[0])

    def test_token_secret(self) -> None:
        """Without a good secret, the same everywhere, tokens would be refused by the next node or forged."""
        self.refused(BusinessConfig, 'token_secret_file = ""\n', "openssl rand -hex 32")
        for content, mode, words in (
            ("short", 0o600, "shorter than 32 bytes"),
            ("a" * 64, 0o600, "too regular"),
            (TOKEN, 0o644, "chmod 0600"),
        ):
            path = self.file(content, mode=mode)
            self.refused(BusinessConfig, f'token_secret_file = "{path}"\n', "token_secret_file: ", words)


class Relations(RoleCase):
    """What must hold between keys."""

    def test_public_plaintext(self) -> None:
        """Nobody puts tokens on the network in the clear by accident, in no role."""
        for kind in (CoreConfig, BusinessConfig, AdminConfig):
            self.refused(kind, '[listen]\nhttp = "0.0.0.0:80"\n', "listen.https", "allow_public_plaintext")

    def test_engine_password_in_the_clear(self) -> None:
        """No password goes to another machine in the clear by accident, and no engine there is taken without one."""
        secret, authority = self.file("hunter2"), self.file("PEM")
        for kind, section, address in (
            (CoreConfig, "nats", 'servers = ["nats://127.0.0.1:1", "nats://10.0.0.1:1"]\nuser = "u"'),
            (CoreConfig, "mongo", 'hosts = ["localhost:1", "db.example.com:1"]\nuser = "u"'),
            (CoreConfig, "redis", 'address = "[fd00::1]:1"'),
            (AdminConfig, "sql", 'address = "localhost.example.com:1"'),
        ):
            text = f"[{section}]\n{address}\n"
            nobody = text.partition("user")[0]
            self.refused(kind, nobody, "there is no password", f"{section}.allow_plaintext")
            load(self.file(nobody + "\nallow_plaintext = true\n"), {}, kind)
            text += f'password_file = "{secret}"\n'
            self.refused(kind, text, f"{section}.ca_file", f"{section}.allow_plaintext")
            self.assertEqual(len(self.problems(kind, text)), 1)
            load(self.file(text + "allow_plaintext = true\n"), {}, kind)
            load(self.file(text + f'ca_file = "{authority}"\n'), {}, kind)
        account = f'user = "u"\npassword_file = "{secret}"\n'
        load(self.file(f'[nats]\nservers = ["tls://10.0.0.1:1"]\n{account}'), {}, CoreConfig)
        load(self.file(f'[nats]\nservers = ["nats://[::1]:1"]\n{account}'), {}, CoreConfig)

    def test_reuse_port(self) -> None:
        """Nodes can only share a port that is the same for all."""
        self.refused(CoreConfig, '[listen]\nreuse_port = true\ntcp = "127.0.0.1:0"\n', "listen.tcp", "port 0")
        load(self.file('[listen]\ntcp = "127.0.0.1:0"\n'), {}, CoreConfig)

    def test_certificates(self) -> None:
        """Whom to trust must be readable; a certificate comes with its key."""
        self.refused(CoreConfig, '[redis]\nca_file = "/nowhere"\n', "redis.ca_file: cannot read /nowhere")
        path = self.file("PEM")
        self.refused(CoreConfig, f'[nats]\ncertificate_file = "{path}"\n', "nats.private_key_file: is empty")

    def test_public_addresses(self) -> None:
        """What clients are told must be something to connect to."""
        self.refused(CoreConfig, '[node]\npublic_tcp = "tcp://a:1"\n', "node.public_tcp")
        self.refused(CoreConfig, '[node]\npublic_ws = "https://a/ws"\n', "node.public_ws")
        load(
            self.file('[node]\npublic_tcp = "im.example.com:7700"\npublic_ws = "wss://im.example.com/ws"\n'),
            {},
            CoreConfig,
        )

    def test_nowhere_to_go(self) -> None:
        """A role without its servers is told so."""
        self.refused(CoreConfig, "[nats]\nservers = []\n", "nats.servers: is empty")
        self.refused(CoreConfig, "[mongo]\nhosts = []\n", "mongo.hosts: is empty")


class MetricsAddress(RoleCase):
    """[metrics]."""

    def test_default(self) -> None:
        """Loopback, and another port for each role, so that one machine can have them all."""
        listens = {
            Config().metrics.listen,
            CoreConfig().metrics.listen,
            BusinessConfig().metrics.listen,
            AdminConfig().metrics.listen,
        }
        self.assertEqual(len(listens), 4)
        self.assertTrue(all(listen.startswith("127.0.0.1:") for listen in listens))

    def test_public(self) -> None:
        """Others reach it only where that was said."""
        for kind in (CoreConfig, BusinessConfig, AdminConfig):
            self.refused(kind, '[metrics]\nlisten = "0.0.0.0:1"\n', "metrics.listen", "metrics.allow_public")
        load(self.file('[metrics]\nlisten = "[::]:1"\nallow_public = true\n'), {}, CoreConfig)

    def test_address(self) -> None:
        """Nothing, or an address that nothing else has."""
        load(self.file('[metrics]\nlisten = ""\n'), {}, CoreConfig)
        load(self.file('[metrics]\nlisten = "127.0.0.1:0"\n[listen]\nhttp = "127.0.0.1:0"\n'), {}, CoreConfig)
        self.refused(CoreConfig, '[metrics]\nlisten = "9464"\n', "metrics.listen: has no port", "IP:PORT")
        self.refused(CoreConfig, '[metrics]\nlisten = "127.0.0.1:7780"\n', "is taken by listen.http")
