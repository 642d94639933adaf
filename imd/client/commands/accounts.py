"""register, login, logout, password, whoami."""

from __future__ import annotations

import argparse
import getpass
import sys

from imd.client.commands.context import DEFAULT_SERVER, Context
from imd.client.commands.outcome import Usage, WrongPassword
from imd.client.commands.profile import Profile
from imd.client.rest import Login, RestClient
from imd.kernel.errors import AuthFailed

PLATFORM = "terminal"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe them."""
    register = commands.add_parser("register", help="make an account and log in")
    login = commands.add_parser("login", help="log in to an account")
    for command, run in ((register, run_register), (login, run_login)):
        command.add_argument("handle", nargs="?", default="", help="your name; default: the profile's")
        command.add_argument("--server", default="", help=f"default: {DEFAULT_SERVER}")
        command.add_argument(
            "--password-stdin", action="store_true", help="read the password's line from stdin"
        )
        command.set_defaults(run=run)
    register.add_argument("--name", default="", help="the name that others see")
    logout = commands.add_parser("logout", help="end this login and forget it here")
    logout.add_argument("--everywhere", action="store_true", help="end the logins of all devices")
    logout.set_defaults(run=run_logout)
    password = commands.add_parser("password", help="change the password; other devices have to log in again")
    password.add_argument(
        "--password-stdin", action="store_true", help="read the old and the new one, a line each, from stdin"
    )
    password.set_defaults(run=run_password)
    commands.add_parser("whoami", help="who is logged in, and where").set_defaults(run=run_whoami)


def ask_password(*, from_stdin: bool, twice: bool, prompt: str = "password") -> str:
    """Without echo from the terminal, or a line of stdin."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise Usage("no password came on stdin")
        return password
    if not sys.stdin.isatty():
        raise Usage("there is no terminal to ask for the password: use --password-stdin")
    try:
        password = getpass.getpass(f"{prompt}: ")
        if twice and getpass.getpass("once more: ") != password:
            raise Usage("the two passwords differ")
    except EOFError:
        raise Usage("no password was given") from None
    return password


async def run_register(context: Context) -> None:
    """Make an account; the profile is called like it, unless --as says otherwise."""
    profile_name, handle, server, old = _who(context)
    if old is not None:
        raise Usage(
            f"the profile {profile_name!r} is logged in as {old.login.handle!r} already: log out first"
        )
    arguments = context.arguments
    password = ask_password(from_stdin=arguments.password_stdin, twice=True)
    rest = context.strange_rest(server)
    login = await rest.register(
        handle,
        password,
        device_id=_new_device(context),
        display_name=arguments.name,
        platform=PLATFORM,
    )
    _keep(context, profile_name, server, login)
    context.print(f"welcome, {login.handle}; next: imc --as {profile_name} chat SOMEBODY")


async def run_login(context: Context) -> None:
    """Log in, on the same device as last time if there was one."""
    profile_name, handle, server, old = _who(context)
    password = ask_password(from_stdin=context.arguments.password_stdin, twice=False)
    rest = context.strange_rest(server)
    device_id = (
        old.login.device_id if old is not None and old.login.handle == handle else _new_device(context)
    )
    try:
        login = await rest.login(handle, password, device_id=device_id, platform=PLATFORM)
    except AuthFailed as error:
        raise WrongPassword(error.message) from None
    _keep(context, profile_name, server, login)
    context.print(f"logged in as {login.handle}")


async def run_logout(context: Context) -> None:
    """End the login at the server and here; a login that is over already is only forgotten."""
    profile = context.profile
    rest: RestClient = context.rest()
    try:
        await rest.logout(everywhere=context.arguments.everywhere)
    except AuthFailed:
        context.print("the login had ended before")
    context.profiles.forget(profile.name)
    context.print(f"{profile.login.handle} is logged out")


async def run_password(context: Context) -> None:
    """Change it; this device goes on with a new token."""
    from_stdin = context.arguments.password_stdin
    rest = await context.fresh_rest()
    old = ask_password(from_stdin=from_stdin, twice=False, prompt="old password")
    new = ask_password(from_stdin=from_stdin, twice=True, prompt="new password")
    profile = context.profile
    context.keep(profile.with_login(await rest.change_password(old, new)))
    context.print("the password is changed; other devices have to log in again")


async def run_whoami(context: Context) -> None:
    """By the server's word."""
    rest = await context.fresh_rest()
    profile = context.profile
    me = await rest.me()
    context.print(f"{me['handle']} ({me['displayName']}), user {me['userId']}")
    messages = context.arguments.url or profile.url or "where it says"
    context.print(f"server   {profile.server}, messages {messages}")
    context.print(f"profile  {profile.name}, device {profile.login.device_id}")
    for device in me["devices"]:
        here = " (this one)" if device["current"] else ""
        context.print(f"device   {device['deviceId']} {device['platform']}{here}")


def _who(context: Context) -> tuple[str, str, str, Profile | None]:
    arguments = context.arguments
    profile_name = arguments.profile or arguments.handle
    if not profile_name:
        raise Usage("who? give your name")
    profile_name = context.profiles.choose(profile_name)
    old = context.profiles.find(profile_name)
    handle = arguments.handle or (old.login.handle if old is not None else profile_name)
    server = arguments.server or (old.server if old is not None else DEFAULT_SERVER)
    return profile_name, handle, server, old


def _keep(context: Context, profile_name: str, server: str, login: Login) -> None:
    context.keep(Profile(profile_name, server, context.arguments.url, login))


def _new_device(context: Context) -> str:
    return f"imc-{context.random.getrandbits(48):012x}"
