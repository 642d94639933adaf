"""What deploy/compose.yaml runs in containers, run here as far as it can be."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from pymongo import MongoClient
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.ctl.cluster.engine import free_port
from imd.ctl.cluster.engines import Nats, RedisServer
from imd.ctl.cluster.process import Process
from imd.ctl.cluster.replica_set import main
from tests.live.engines import engine

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


class ReplicaSet(TestCase):
    """``python -m imd.ctl.cluster.replica_set``, on a server as MongoDB's image leaves it."""

    async def test_makes_the_set(self) -> None:
        """Where only root is, made before there was a set, it makes the set and the user; then nothing more."""
        shared = await deferToThread(engine, "mongo")
        folder = shared.folder / "compose"
        process = Process(name="mongo", folder=folder, outlives=False)
        self.addCleanup(deferToThread, process.kill)
        await deferToThread(self._scene, folder, process, shared.program)

    def _scene(self, folder: Path, process: Process, mongod: str) -> None:
        (folder / "db").mkdir(parents=True)
        for name, text in (("key", "k" * 64), ("root", "root-secret"), ("imd", "imd-secret")):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        address = f"127.0.0.1:{free_port()}"
        command = [mongod, f"--dbpath={folder / 'db'}", f"--port={address[-5:]}", "--bind_ip=127.0.0.1"]
        command += ["--nounixsocket", "--wiredTigerCacheSizeGB=0.25", "--oplogSize=64"]

        def started(*more: str) -> None:
            process.start([*command, *more])
            process.wait_until(lambda: "Waiting for connections" in process.log_file.read_text())

        started()
        with self._client(address) as client:
            client.admin.command("createUser", "root", pwd="root-secret", roles=["root"])
        process.stop()
        process.log_file.unlink()
        started("--replSet=imd", f"--keyFile={folder / 'key'}")
        arguments = ["--hosts", address, "--root-password-file", str(folder / "root")]
        arguments += ["--password-file", str(folder / "imd")]
        for _ in range(2):
            with contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(main(arguments), 0)
        uri = f"mongodb://imd:imd-secret@{address}/imd?replicaSet=imd&authMechanism=SCRAM-SHA-1"
        with self._client(uri) as client:
            client["imd"]["any"].insert_one({"_id": 1})

    def _client(self, address: str) -> MongoClient[dict[str, Any]]:
        uri = address if address.startswith("mongodb:") else f"mongodb://{address}/?directConnection=true"
        return MongoClient(uri, serverSelectionTimeoutMS=20_000)

    def test_secret_open_to_all(self) -> None:
        """A secret that everybody may read is refused, with what to do."""
        file = Path(self.mktemp())
        file.write_text("secret")
        file.chmod(0o644)
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            code = main(["--hosts", "x:1", "--root-password-file", str(file), "--password-file", str(file)])
        self.assertEqual(code, 2)
        self.assertIn("chmod 0600", said.getvalue())


class Commands(TestCase):
    """The commands of the services, on this machine's servers."""

    def _initialized(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="imd-deploy-"))
        self.addCleanup(shutil.rmtree, folder)
        shutil.copytree(DEPLOY, folder / "deploy", ignore=shutil.ignore_patterns("secrets", "data", ".env"))
        subprocess.run([folder / "deploy" / "init"], check=True, capture_output=True)
        return folder

    def _command(self, service: str, places: dict[str, str]) -> list[str]:
        """As in the file, with other places; ``$$`` is Compose's way to write ``$``."""
        found = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"][service]
        command = [text.replace("$$", "$") for text in [*found.get("entrypoint", []), *found["command"]]]
        for inside, here in places.items():
            command = [text.replace(inside, here) for text in command]
        return [shutil.which(command[0]) or command[0], *command[1:]]

    def _started(self, name: str, folder: Path, command: list[str], **environ: str) -> None:
        process = Process(name=name, folder=folder, outlives=False)
        self.addCleanup(deferToThread, process.kill)
        process.start(command, environ={**os.environ, **environ})

    async def test_nats(self) -> None:
        """The command makes a configuration out of the shipped one in which each role has its password."""
        shared = await deferToThread(engine, "nats")
        await deferToThread(self._nats, shared)

    def _nats(self, shared: Nats) -> None:
        folder = self._initialized()
        places = {
            "/run/secrets": str(folder / "deploy" / "secrets"),
            "/etc/imd": str(DEPLOY.parent / "etc"),
            "/tmp/nats.conf": str(folder / "nats.conf"),
            '"/data"': f'"{folder / "data"}"',
            "127.0.0.1:8222": f"127.0.0.1:{(monitor := free_port())}",
            "--addr 0.0.0.0": f"--addr 127.0.0.1 --port {(port := free_port())}",
        }
        path = f"{Path(shared.program).parent}:{os.environ['PATH']}"
        self._started("nats", folder, self._command("nats", places), PATH=path)
        passwords = {
            role: (folder / "deploy" / "secrets" / f"nats-{role}").read_text().strip()
            for role in ("core", "business", "admin")
        }
        for role, password in passwords.items():
            self.assertEqual(self._login(port, role, password), b"PONG\r\n", role)
        self.assertIn(b"Authorization Violation", self._login(port, "core", passwords["admin"]))
        with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/healthz", timeout=5) as answer:
            self.assertEqual(answer.status, 200)

    def _login(self, port: int, user: str, password: str) -> bytes:
        """What NATS answers, once it listens."""
        for _ in range(500):
            with contextlib.suppress(ConnectionRefusedError):
                connection = socket.create_connection(("127.0.0.1", port), 5)
                break
            time.sleep(0.02)
        login = json.dumps({"user": user, "pass": password, "verbose": False, "pedantic": False})
        with connection, connection.makefile("rb") as answers:
            self.assertIn(b"INFO", answers.readline())
            connection.sendall(f"CONNECT {login}\r\nPING\r\n".encode())
            return answers.readline()

    async def test_redis(self) -> None:
        """The command asks for the password, keeps nothing on the disk, and evicts nothing."""
        shared = await deferToThread(engine, "redis")
        await deferToThread(self._redis, shared)

    def _redis(self, shared: RedisServer) -> None:
        folder = self._initialized()
        secrets = folder / "deploy" / "secrets"
        command = self._command("redis", {"/run/secrets": str(secrets)})
        port = free_port()
        self._started("redis", folder, [shared.program, *command[1:], "--port", str(port)])
        mine = RedisServer(folder=folder / "client", port=port)
        mine.password = (secrets / "redis").read_text().strip()
        for _ in range(500):
            if mine.answers():
                break
            time.sleep(0.02)
        for key, value in (("save", b""), ("appendonly", b"no"), ("maxmemory-policy", b"noeviction")):
            with socket.create_connection((mine.host, port), 5) as connection:
                connection.sendall(f"AUTH {mine.password}\r\nCONFIG GET {key}\r\n".encode())
                with connection.makefile("rb") as answers:
                    lines = [answers.readline().strip() for _ in range(6)]
            self.assertEqual((lines[0], lines[-1]), (b"+OK", value), key)
