"""The replica set of deploy/compose.yaml is made as MongoDB's image leaves its server."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.ctl.cluster.engine import free_port
from imd.ctl.cluster.process import Process
from imd.ctl.cluster.replica_set import main
from tests.live.engines import engine


class Compose(TestCase):
    """``python -m imd.ctl.cluster.replica_set``."""

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
