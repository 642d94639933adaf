"""MariaDB for the business data: small and quick to start, and durable at each commit."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

import pymysql

from imd.ctl.cluster.engine import Engine, write_secret
from imd.ctl.cluster.process import EngineError

_INSTALL_TIMEOUT_S = 120.0
_CALL_TIMEOUT_S = 5


class MariaDb(Engine):
    """Database ``imd``; ``user`` may do everything in it, and in databases named ``imd_...``."""

    name: ClassVar[str] = "mariadb"
    install: ClassVar[str] = "apt-get install mariadb-server, or put mariadbd 10.6 or newer on the PATH"

    def __init__(self, *, folder: Path, port: int = 0, outlives: bool = False) -> None:
        super().__init__(folder=folder, port=port, outlives=outlives)
        self.database = "imd"
        self.user = "imd"
        self.password = self._secret("password")
        self.root_user = "root"
        self.root_password = self._secret("root_password")
        self._data_dir = self.folder / "mariadb"

    @property
    def program(self) -> str:
        return self._program("mariadbd", "mysqld")

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"mysql+pymysql://{self.user}:{self.password}@{self.address}/{self.database}?charset=utf8mb4"

    def _data(self) -> list[Path]:
        return [self._data_dir]

    def _start(self) -> None:
        self._make_data_dir()
        first = self.folder / "init.sql"
        write_secret(first, self._first_statements())
        self._process.start([self.program, *self._options(), f"--init-file={first}"])
        self._process.wait_until(self._answers)

    def _make_data_dir(self) -> None:
        if (self._data_dir / "mysql").exists():
            return
        maker = self._program("mariadb-install-db", "mysql_install_db")
        # One that was broken off is no data folder, and looks like one.
        half = self.folder / "mariadb.new"
        shutil.rmtree(half, ignore_errors=True)
        command = [
            maker,
            "--no-defaults",
            f"--datadir={half}",
            f"--user={getpass.getuser()}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *_SMALL,
        ]
        made = subprocess.run(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
        if made.returncode != 0:
            raise EngineError(f"{maker} failed:\n{(made.stdout + made.stderr)[-3000:]}")
        half.replace(self._data_dir)

    def _options(self) -> list[str]:
        return [
            "--no-defaults",
            f"--datadir={self._data_dir}",
            f"--user={getpass.getuser()}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            # Relative to the data: a socket's path must not be longer than 107 bytes.
            "--socket=mariadb.sock",
            f"--pid-file={self._data_dir / 'mariadb.pid'}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--skip-networking=0",
            "--character-set-server=utf8mb4",
            "--max-connections=300",
            *_SMALL,
        ]

    def _first_statements(self) -> str:
        """Run at each start, before anybody can connect; one statement a line."""
        return (
            f"CREATE DATABASE IF NOT EXISTS `{self.database}` CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS '{self.user}'@'{self.host}' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON `{self.database}`.* TO '{self.user}'@'{self.host}';\n"
            f"GRANT ALL ON `{self.database}\\_%`.* TO '{self.user}'@'{self.host}';\n"
            f"CREATE USER IF NOT EXISTS 'root'@'{self.host}';\n"
            f"ALTER USER 'root'@'{self.host}' IDENTIFIED BY '{self.root_password}';\n"
            f"GRANT ALL ON *.* TO 'root'@'{self.host}' WITH GRANT OPTION;\n"
            f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{self.root_password}';\n"
            "DELETE FROM mysql.global_priv WHERE User = '' OR Host NOT IN ('localhost', '127.0.0.1');\n"
            "FLUSH PRIVILEGES;\n"
        )

    def _answers(self) -> bool:
        try:
            connection = pymysql.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password,
                database=self.database,
                connect_timeout=_CALL_TIMEOUT_S,
                read_timeout=_CALL_TIMEOUT_S,
                write_timeout=_CALL_TIMEOUT_S,
            )
        except pymysql.MySQLError:
            return False
        connection.close()
        return True


#: What makes it small and quick to start. A commit is on the disk when it returns: our data is all it has.
_SMALL = (
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=32M",
    "--innodb-buffer-pool-dump-at-shutdown=0",
    "--innodb-buffer-pool-load-at-startup=0",
    "--performance-schema=OFF",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=8M",
)
