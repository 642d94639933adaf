"""What deploy/ hands to people with Docker, as far as it can be checked without."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from imd.config.load import load
from imd.config.section import Section
from imd.config.sections import AdminConfig, BusinessConfig, CoreConfig
from imd.ctl.cluster.replica_set import main as make_replica_set

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
KINDS: dict[str, type[Section]] = {
    "im-core": CoreConfig,
    "im-business": BusinessConfig,
    "im-admin": AdminConfig,
}
#: What a service that runs once has instead of a health check.
ONCE = {"mongo-set"}


def compose() -> dict[str, Any]:
    """The file, with anchors and merges resolved."""
    parsed = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    assert isinstance(parsed, dict)
    return parsed


def default(text: str) -> str:
    """``${NAME:-value}`` as it is without a .env."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


class Compose(SynchronousTestCase):
    """deploy/compose.yaml."""

    def setUp(self) -> None:
        self.services: dict[str, dict[str, Any]] = compose()["services"]
        self.nodes = {
            name: service for name, service in self.services.items() if service["command"][0] in KINDS
        }

    def initialized(self) -> Path:
        """A copy of deploy/ in which deploy/init has run."""
        folder = Path(self.mktemp())
        shutil.copytree(DEPLOY, folder, ignore=shutil.ignore_patterns("secrets", "data", ".env"))
        subprocess.run([folder / "init"], check=True, capture_output=True)
        return folder

    def test_who_is_there(self) -> None:
        """Two im-core, two im-business, an im-admin, and every server that they need."""
        roles = sorted(service["command"][0] for service in self.nodes.values())
        self.assertEqual(roles, ["im-admin", "im-business", "im-business", "im-core", "im-core"])
        self.assertEqual(
            set(self.services) - set(self.nodes), {"nats", "mongo", "mongo-set", "mariadb", "redis"}
        )

    def test_configuration_loads(self) -> None:
        """Every key that a node is given exists, has a good value, and names a secret that the node has."""
        secrets = self.initialized() / "secrets"
        for name, service in self.nodes.items():
            keys = {key: default(value) for key, value in service["environment"].items()}
            for key, value in keys.items():
                self.assertTrue(key.startswith("IM__"), f"{name}: {key}")
                if value.startswith("/run/secrets/"):
                    secret = value.removeprefix("/run/secrets/")
                    self.assertIn(secret, service["secrets"], name)
                    keys[key] = str(secrets / secret)
            load("", keys, KINDS[service["command"][0]])

    def test_nodes_differ(self) -> None:
        """No two nodes of a role have one id, and no two services one published port."""
        ids = [
            (service["command"][0], service["environment"]["IM__NODE_ID"]) for service in self.nodes.values()
        ]
        self.assertEqual(len(ids), len(set(ids)))
        published = [
            default(text).split(":")[1] for each in self.services.values() for text in each.get("ports", [])
        ]
        self.assertEqual(len(published), len(set(published)))

    def test_ports(self) -> None:
        """Ports are published where a node listens, to this machine only, and as clients are told."""
        for name, service in self.nodes.items():
            keys = service["environment"]
            listening = {
                keys[key].rpartition(":")[2] for key in ("IM__LISTEN__TCP", "IM__LISTEN__HTTP") if key in keys
            }
            published = {}
            for text in service["ports"]:
                host, outside, inside = default(text).split(":")
                self.assertEqual(host, "127.0.0.1", name)
                published[inside] = outside
            self.assertEqual(set(published), listening, name)
            if "IM__NODE__PUBLIC_TCP" in keys:
                self.assertEqual(default(keys["IM__NODE__PUBLIC_TCP"]), f"127.0.0.1:{published['7700']}")
                self.assertEqual(
                    default(keys["IM__NODE__PUBLIC_WS"]), f"ws://127.0.0.1:{published['7780']}/ws"
                )
            self.assertIn(
                f":{keys['IM__LISTEN__HTTP'].rpartition(':')[2]}/readyz", str(service["healthcheck"]), name
            )
        for name in set(self.services) - set(self.nodes):
            self.assertNotIn("ports", self.services[name], f"{name} is for the nodes only")

    def test_servers_are_found(self) -> None:
        """The host in every address is a service, which the node waits for, by itself or by others."""
        for name, service in self.nodes.items():
            for key, value in service["environment"].items():
                if re.search(r"__(SERVERS|HOSTS|ADDRESS)$", key):
                    host = value.removeprefix("nats://").partition(":")[0]
                    self.assertIn(host, self.waited_for(name), f"{name}: {key}")

    def waited_for(self, name: str) -> set[str]:
        direct = set(self.services[name].get("depends_on", {}))
        return direct.union(*(self.waited_for(each) for each in direct))

    def test_waiting(self) -> None:
        """Who is waited for can be told to be ready; nobody waits in a circle."""
        for name, service in self.services.items():
            self.assertNotIn(name, self.waited_for(name))
            self.assertTrue(("healthcheck" in service) != (name in ONCE), name)
            for other, how in service.get("depends_on", {}).items():
                wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
                self.assertEqual(how, {"condition": wanted}, f"{name} on {other}")

    def test_secrets(self) -> None:
        """No password ships: each secret is a file that deploy/init makes, for its owner only."""
        folder = self.initialized()
        declared = compose()["secrets"]
        for name, where in declared.items():
            file = folder / where["file"]
            self.assertGreater(file.stat().st_size, 32, name)
            self.assertEqual(file.stat().st_mode & 0o777, 0o600, name)
        for name, service in self.services.items():
            used = [each if isinstance(each, str) else each["source"] for each in service.get("secrets", [])]
            self.assertFalse(set(used) - set(declared), name)
            for key, value in service.get("environment", {}).items():
                if "PASSWORD" in key or "SECRET" in key:
                    self.assertRegex(value, r"^/run/secrets/", f"{name}: {key}")
        before = (folder / "secrets" / "mongo").read_text()
        subprocess.run([folder / "init"], check=True, capture_output=True)
        self.assertEqual((folder / "secrets" / "mongo").read_text(), before)

    def test_nobody_is_root(self) -> None:
        """All run as the owner of the secrets, without capabilities, and start again by themselves."""
        for name, service in self.services.items():
            self.assertRegex(service["user"], r"^\$\{IMD_UID:\?.*\}:\$\{IMD_GID:\?.*\}$", name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertEqual(service["restart"], "no" if name in ONCE else "unless-stopped", name)

    def test_drain_has_time(self) -> None:
        """Docker kills a core node later than it has let its clients go."""
        for service in self.nodes.values():
            if service["command"] == ["im-core"]:
                grace_s = int(service["stop_grace_period"].removesuffix("s"))
                self.assertGreater(grace_s, CoreConfig().gateway.drain_timeout_s + 30)

    def test_images_are_pinned(self) -> None:
        """No image changes its major version by itself."""
        for name, service in self.services.items():
            if service["image"] != "imd":
                self.assertRegex(service["image"], r"^[a-z]+:\d+\.\d+", name)

    def test_replica_set_is_asked_for_rightly(self) -> None:
        """The command that makes the replica set takes the arguments that it is given."""
        service = self.services["mongo-set"]
        self.assertEqual(service["entrypoint"], ["python", "-m", "imd.ctl.cluster.replica_set"])
        secrets = self.initialized() / "secrets"
        (secrets / "mongo").chmod(0o644)
        arguments = [text.replace("/run/secrets", str(secrets)) for text in service["command"]]
        # It understands them all, and stops at the secret that is open to everybody.
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(make_replica_set(arguments), 2)
        self.assertIn("chmod 0600", said.getvalue())

    def test_docker_agrees(self) -> None:
        """Compose itself accepts the file."""
        folder = self.initialized()
        try:
            subprocess.run(["docker", "compose", "version"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise SkipTest("docker compose is not installed") from None
        command = ["docker", "compose", "-f", str(folder / "compose.yaml"), "config", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class Image(SynchronousTestCase):
    """deploy/Dockerfile."""

    def test_sources(self) -> None:
        """Whatever is copied is there, and is not left out of the build's context."""
        text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
        kept = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
        copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
        for source in " ".join(copied).split():
            self.assertTrue((ROOT / source).exists(), source)
            self.assertIn(f"!{source}", kept)
