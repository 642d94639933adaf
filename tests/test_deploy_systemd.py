"""etc/systemd, judged by systemd itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from imd.config.load import load
from imd.config.section import Section
from imd.config.sections import AdminConfig, BusinessConfig, Config, CoreConfig
from imd.ctl.cli import parser
from imd.roles.stages import STOP_MARGIN_S

FOLDER = Path(__file__).resolve().parent.parent / "etc" / "systemd"
KINDS: dict[str, type[Section]] = {
    "im": Config,
    "im-core": CoreConfig,
    "im-business": BusinessConfig,
    "im-admin": AdminConfig,
}
#: What an operator has to say in /etc/imd.
FROM_THE_FILE = {
    "im": dict[str, str](),
    "im-core": {"IM__NATS__USER": "core", "IM__MONGO__USER": "imd"},
    "im-business": {"IM__NATS__USER": "business"},
    "im-admin": {"IM__NATS__USER": "admin"},
}
#: Of `systemd-analyze security`, from 0 to 10; tens of a tenth.
MOST_EXPOSED = 20
PROGRAMS = ("/opt/imd/bin/twistd", "/opt/imd/bin/imctl")


class _Several(dict[str, Any]):
    """A key that stands there twice has both values, as in systemd."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and isinstance(self.get(key), list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def unit(name: str) -> dict[str, list[str]]:
    """The [Service] of a unit."""
    read = RawConfigParser(strict=False, dict_type=_Several, interpolation=None)
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read(FOLDER / name)
    return {key: value.splitlines() for key, value in read.items("Service")}


class Units(SynchronousTestCase):
    """All of them."""

    def judged(self, *command: str) -> str:
        """What systemd-analyze says to the units, with programs that are there."""
        if shutil.which("systemd-analyze") is None:
            if os.environ.get("CI"):
                self.fail("systemd-analyze is not installed; tools/servers does it")
            raise SkipTest("systemd-analyze is not installed; tools/servers does it")
        folder = Path(self.mktemp())
        folder.mkdir()
        names = []
        for path in FOLDER.iterdir():
            if path.suffix in (".service", ".timer"):
                text = path.read_text()
                for program in PROGRAMS:
                    text = text.replace(program, "/bin/true")
                (folder / path.name).write_text(text)
                names.append(f"./{path.name}")
        if command[0] == "security":
            names = [name for name in names if name.endswith(".service")]
        done = subprocess.run(
            ["systemd-analyze", *command, *names], cwd=folder, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def test_verify(self) -> None:
        """Every key is one that systemd knows, with a value that it takes."""
        self.assertEqual(self.judged("verify"), "")

    def test_security(self) -> None:
        """Nothing is left open that imd does not need."""
        said = self.judged("security", "--offline=true", f"--threshold={MOST_EXPOSED}")
        self.assertEqual(said.count("Overall exposure level"), len(KINDS) + 1)

    def test_commands(self) -> None:
        """What is started takes the arguments that it is given."""
        for name in KINDS:
            (command,) = unit(f"{name}.service")["ExecStart"]
            words = command.split()
            configuration = f"--config=/etc/imd/{name}.toml"
            self.assertEqual(words, [PROGRAMS[0], "--nodaemon", "--pidfile=", name, configuration])
        for command in unit("imd-backup.service")["ExecStart"]:
            parser().parse_args(command.split()[1:])

    def test_environment(self) -> None:
        """Every key exists and has a good value; each credential is given, and used."""
        for name, kind in KINDS.items():
            service = unit(f"{name}.service")
            folder = Path(self.mktemp())
            folder.mkdir()
            given = {text.partition(":")[0] for text in service.get("LoadCredential", [])}
            words = [word for line in service["Environment"] for word in line.split()]
            keys = dict(word.split("=", 1) for word in words if word.startswith("IM__"))
            used = {value.removeprefix("%d/") for value in keys.values() if value.startswith("%d/")}
            self.assertEqual(used, given, name)
            for credential in given:
                (folder / credential).write_text("0123456789abcdef" * 4)
                (folder / credential).chmod(0o440)
            environment = {key: value.replace("%d/", f"{folder}/") for key, value in keys.items()}
            load("", FROM_THE_FILE[name] | environment, kind)
            for value in keys.values():
                if value.startswith("/var"):
                    (state,) = service["StateDirectory"]
                    self.assertTrue(f"{value}/".startswith(f"/var/lib/{state}/"), value)

    def test_drain_has_time(self) -> None:
        """systemd kills later than the drain and the stores take."""
        for name in KINDS:
            service = unit(f"{name}.service")
            stop_s = int(re.fullmatch(r"(\d+)s", service["TimeoutStopSec"][0])[1])  # type: ignore[index]
            drain_s = CoreConfig().gateway.drain_timeout_s if name in ("im", "im-core") else 0
            self.assertGreater(stop_s, drain_s + STOP_MARGIN_S)
            self.assertEqual(service["KillSignal"], ["SIGTERM"])
