"""find, friends, friend add/accept/refuse/remove, block, unblock, blocks, devices, signout."""

from __future__ import annotations

import argparse
import datetime as dt

from imd.client.commands.context import Context
from imd.client.commands.render import harmless
from imd.client.rest import NotFound, RestClient


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe them."""
    find = commands.add_parser("find", help="people by the beginning of their handles")
    find.add_argument("prefix", help="at least 3 characters")
    find.set_defaults(run=run_find)
    commands.add_parser("friends", help="your friends, and who asks to be one").set_defaults(run=run_friends)
    friend = commands.add_parser("friend", help="make friends and part")
    verbs = friend.add_subparsers(dest="verb", metavar="VERB", required=True)
    ask = verbs.add_parser("add", help="ask somebody; or say yes to who asked before")
    ask.add_argument("handle")
    ask.add_argument("message", nargs="?", default="", help="what to say with it")
    ask.set_defaults(run=run_ask)
    for name, run, text in (
        ("accept", run_accept, "say yes to somebody who asks"),
        ("refuse", run_refuse, "say no to somebody who asks"),
        ("remove", run_remove, "be friends no more"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("handle")
        verb.set_defaults(run=run)
    for name, run, text in (
        ("block", run_block, "neither hears of the other"),
        ("unblock", run_unblock, "as before"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("handle")
        command.set_defaults(run=run)
    commands.add_parser("blocks", help="whom you have blocked").set_defaults(run=run_blocks)
    commands.add_parser("devices", help="where you are logged in").set_defaults(run=run_devices)
    sign_out = commands.add_parser("signout", help="end the login of another device")
    sign_out.add_argument("device", help="as devices names it; or: others")
    sign_out.set_defaults(run=run_sign_out)


async def run_find(context: Context) -> None:
    """One a line."""
    rest = await context.fresh_rest()
    found, more = await rest.people.search(context.arguments.prefix)
    for one in found:
        context.print(_line(one.handle, one.display_name, one.about))
    if more:
        context.print("... and more: give more of the handle")


async def run_friends(context: Context) -> None:
    """Friends first; those who ask below."""
    rest = await context.fresh_rest()
    kept = rest.people.friend_list()
    await kept.sync()
    for friend in sorted(kept.friends.values(), key=lambda one: one.handle):
        context.print(_line(friend.handle, friend.remark or friend.display_name, ""))
    for request in await rest.people.friend_requests():
        context.print(f"{_line(request.user.handle, request.user.display_name, request.message)}  (asks)")


async def run_ask(context: Context) -> None:
    """Says whether there is an answer already."""
    rest, user_id = await _somebody(context)
    state = await rest.people.ask_friend(user_id, context.arguments.message)
    handle = harmless(context.arguments.handle)
    context.print(f"{handle} is your friend" if state == "accepted" else f"{handle} is asked")


async def run_accept(context: Context) -> None:
    """Yes."""
    rest, user_id = await _somebody(context)
    await rest.people.accept_friend(user_id)
    context.print(f"{harmless(context.arguments.handle)} is your friend")


async def run_refuse(context: Context) -> None:
    """No."""
    rest, user_id = await _somebody(context)
    await rest.people.refuse_friend(user_id)
    context.print("refused")


async def run_remove(context: Context) -> None:
    """On both sides."""
    rest, user_id = await _somebody(context)
    await rest.people.remove_friend(user_id)
    context.print("removed")


async def run_block(context: Context) -> None:
    """Both ways."""
    rest, user_id = await _somebody(context)
    await rest.people.block(user_id)
    context.print("blocked")


async def run_unblock(context: Context) -> None:
    """Also whoever is not blocked."""
    rest, user_id = await _somebody(context)
    await rest.people.lift_block(user_id)
    context.print("unblocked")


async def run_blocks(context: Context) -> None:
    """One a line."""
    rest = await context.fresh_rest()
    for one in await rest.people.blocks():
        context.print(_line(one.handle, one.display_name, ""))


async def run_devices(context: Context) -> None:
    """One a line, this one marked."""
    rest = await context.fresh_rest()
    for device in await rest.people.devices():
        logged_in = dt.datetime.fromtimestamp(device.logged_in_at_ms / 1000, dt.UTC).astimezone()
        since = logged_in.strftime("%Y-%m-%d %H:%M")
        mark = "*" if device.is_this_one else " "
        context.print(f"{mark} {harmless(device.device_id):24} {harmless(device.platform):16} since {since}")


async def run_sign_out(context: Context) -> None:
    """One, or all but this."""
    rest = await context.fresh_rest()
    device = context.arguments.device
    if device == "others":
        context.keep(context.profile.with_login(await rest.sign_out_others()))
    else:
        await rest.people.sign_out(device)
    context.print("signed out")


async def _somebody(context: Context) -> tuple[RestClient, int]:
    rest = await context.fresh_rest()
    handle: str = context.arguments.handle
    try:
        found = await rest.find_user(handle)
    except NotFound:
        raise NotFound(f"nobody has the handle {handle!r}") from None
    return rest, found.user_id


def _line(handle: str, name: str, words: str) -> str:
    return f"{harmless(handle):20} {harmless(name):24} {harmless(words)}".rstrip()
