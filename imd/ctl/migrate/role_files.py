"""Where to move to, as the roles' files in etc/ say; and the token secret, which moves along."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from imd.config.load import PREFIX, ConfigError, keys, load
from imd.config.section import Section
from imd.config.sections import AdminConfig, BusinessConfig, CoreConfig
from imd.ctl.exits import TARGET, USAGE, CommandFailed

_SECRET_KEY = "token_secret_file"
_SECRET_VARIABLE = "IM__TOKEN_SECRET_FILE"


class RoleFiles(NamedTuple):
    """The files of the three roles."""

    core: CoreConfig
    business: BusinessConfig
    #: None: there is no im-admin.toml, or it is not asked for.
    admin: AdminConfig | None
    #: Where im-business will look for the token secret.
    token_secret_file: Path


def read_role_files(
    folder: Path, *, token_key: Path, environ: Mapping[str, str], with_admin: bool = True
) -> RoleFiles:
    """The configuration of the cluster.

    :param token_key: stands in for the token secret, which may still have to be copied.
    :raises CommandFailed: with all that is wrong with the files.
    """
    core_file, business_file, admin_file = (
        folder / f"im-{role}.toml" for role in ("core", "business", "admin")
    )
    for file in (core_file, business_file):
        if not file.is_file():
            raise CommandFailed(
                USAGE,
                f"{file} is not there: give the folder with the cluster's im-core.toml, im-business.toml and im-admin.toml",
            )
    try:
        wanted = environ.get(_SECRET_VARIABLE) or tomllib.loads(business_file.read_text("utf-8-sig")).get(
            _SECRET_KEY
        )
        core = load(str(core_file), _known(environ, CoreConfig), CoreConfig)
        overrides = _known(environ, BusinessConfig) | {_SECRET_VARIABLE: str(token_key)}
        business = load(str(business_file), overrides, BusinessConfig)
        admin = (
            load(str(admin_file), _known(environ, AdminConfig), AdminConfig)
            if with_admin and admin_file.is_file()
            else None
        )
    except ConfigError as error:
        raise CommandFailed(USAGE, str(error)) from None
    except (OSError, ValueError) as error:
        raise CommandFailed(USAGE, f"{business_file}: {error}") from None
    if not wanted or not isinstance(wanted, str):
        raise CommandFailed(
            USAGE,
            f"{business_file}: {_SECRET_KEY} is empty; name the file that the folder's token secret is to go to",
        )
    return RoleFiles(core, business, admin, Path(wanted))


def _known(environ: Mapping[str, str], kind: type[Section]) -> dict[str, str]:
    """The variables that a role knows; those of the others are no error here."""
    names = {PREFIX + path.upper().replace(".", "__") for path, _ in keys(kind)}
    return {name: value for name, value in environ.items() if name in names}


def copy_secret(source: Path, target: Path) -> str:
    """Copy the token secret where there is none; what was done, for the operator."""
    secret = source.read_bytes().strip()
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return told_secret(source, target)
    except OSError as error:
        raise CommandFailed(
            TARGET,
            f"cannot write the token secret {target}: {error.strerror}; check its folder, then run again",
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return f"token secret: copied to {target} (0600); copy it to every host of im-business"


def told_secret(source: Path, target: Path) -> str:
    """Whether those who are logged in will stay so."""
    try:
        same = target.read_bytes().strip() == source.read_bytes().strip()
    except OSError as error:
        return f"token secret: WARNING: cannot read {target} ({error.strerror}): everybody may have to log in again"
    if same:
        return f"token secret: {target} is the folder's"
    return (
        f"token secret: WARNING: {target} holds another one and was left alone: everybody will have to log in "
        f"again, unless you replace it by {source}"
    )
