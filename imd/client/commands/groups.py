"""group create, members, invite, kick, role, rename, join, waiting, approve, mute, unmute, announce, leave, transfer, dissolve."""

from __future__ import annotations

import argparse

from imd.client.commands.context import Context
from imd.client.commands.render import harmless
from imd.client.rest import NotFound, RestClient


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe them."""
    group = commands.add_parser("group", help="make and run groups")
    verbs = group.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, run: object, text: str, *arguments: str) -> argparse.ArgumentParser:
        parser = verbs.add_parser(name, help=text)
        for argument in arguments:
            many = argument.endswith("s")
            parser.add_argument(argument, nargs="+" if many else None, metavar=argument.upper())
        parser.set_defaults(run=run)
        return parser

    create = verb("create", run_create, "make a group", "title")
    create.add_argument("members", nargs="*", metavar="HANDLE")
    verb("members", run_members, "who is in it", "group")
    verb("invite", run_invite, "add people; owner and admins", "group", "handles")
    verb("kick", run_kick, "remove people below you", "group", "handles")
    role = verb("role", run_role, "make somebody admin, or member again; the owner", "group", "handle")
    role.add_argument("role", choices=("admin", "member"))
    verb("rename", run_rename, "owner and admins", "group", "title")
    join = verb("join", run_join, "come in, or ask to be let in", "group")
    join.add_argument("--answer", default="", help="to the question at its door")
    verb("waiting", run_waiting, "who asks to be let in; owner and admins", "group")
    verb("approve", run_approve, "let somebody in; owner and admins", "group", "handle")
    mute = verb("mute", run_mute, "have people below you be silent", "group", "handles")
    mute.add_argument("--minutes", type=int, help="so long; without: until unmute")
    verb("unmute", run_unmute, "let them write again", "group", "handles")
    verb("announce", run_announce, "what everybody should know; owner and admins", "group", "text")
    verb("leave", run_leave, "leave it", "group")
    verb("transfer", run_transfer, "give it to another member; the owner", "group", "handle")
    verb("dissolve", run_dissolve, "end it for all; the owner", "group")


async def run_create(context: Context) -> None:
    """All members or no group."""
    rest = await context.fresh_rest()
    members = await _ids(rest, context.arguments.members)
    group = await rest.create_group(context.arguments.title, members)
    context.print(f"{group.conversation_id}  {harmless(group.title)}  {group.member_count} members")


async def run_members(context: Context) -> None:
    """One a line."""
    rest, group_id = await _group(context)
    for member in await rest.members(group_id):
        person = member.person
        context.print(f"{member.role:7} {harmless(person.handle):20} {harmless(person.display_name)}")


async def run_invite(context: Context) -> None:
    """Says who is new."""
    rest, group_id = await _group(context)
    wanted = context.arguments.handles
    added = await rest.invite(group_id, await _ids(rest, wanted))
    context.print(f"{len(added)} added, {len(wanted) - len(added)} had been in it before")


async def run_kick(context: Context) -> None:
    """One after the other."""
    rest, group_id = await _group(context)
    for user_id in await _ids(rest, context.arguments.handles):
        await rest.kick(group_id, user_id)
    context.print("removed")


async def run_role(context: Context) -> None:
    """Admin or member."""
    rest, group_id = await _group(context)
    [user_id] = await _ids(rest, [context.arguments.handle])
    await rest.set_role(group_id, user_id, context.arguments.role)
    context.print(f"{context.arguments.handle} is {context.arguments.role} now")


async def run_rename(context: Context) -> None:
    """A new title."""
    rest, group_id = await _group(context)
    group = await rest.rename_group(group_id, context.arguments.title)
    context.print(f"it is called {harmless(group.title)} now")


async def run_join(context: Context) -> None:
    """By the id that somebody told: of a group outside one knows no name."""
    rest, group_id = await _group(context)
    door = await rest.groups.door(group_id)
    if door.question and not context.arguments.answer:
        context.print(f"{harmless(door.title)} asks: {harmless(door.question)}  (give --answer)")
    elif await rest.groups.join(group_id, answer=context.arguments.answer):
        context.print(f"you are in {harmless(door.title)} now")
    else:
        context.print(f"{harmless(door.title)}: an admin has to say yes")


async def run_waiting(context: Context) -> None:
    """One a line."""
    rest, group_id = await _group(context)
    for one in await rest.groups.applications(group_id):
        context.print(f"{harmless(one.handle):20} {harmless(one.message)}")


async def run_approve(context: Context) -> None:
    """Let somebody in."""
    rest, group_id = await _group(context)
    [user_id] = await _ids(rest, [context.arguments.handle])
    await rest.groups.approve(group_id, user_id)
    context.print(f"{context.arguments.handle} is in it now")


async def run_mute(context: Context) -> None:
    """All of them or none."""
    minutes = context.arguments.minutes
    await _mute(context, None if minutes is None else max(1, minutes) * 60)
    context.print("muted")


async def run_unmute(context: Context) -> None:
    """All of them or none."""
    await _mute(context, 0)
    context.print("they may write again")


async def _mute(context: Context, seconds: int | None) -> None:
    rest, group_id = await _group(context)
    user_ids = await _ids(rest, context.arguments.handles)
    await rest.groups.mute(group_id, user_ids, seconds=seconds)


async def run_announce(context: Context) -> None:
    """In place of what it was."""
    rest, group_id = await _group(context)
    await rest.groups.announce(group_id, context.arguments.text)
    context.print("announced")


async def run_leave(context: Context) -> None:
    """Leave."""
    rest, group_id = await _group(context)
    await rest.leave(group_id)
    context.print("left")


async def run_transfer(context: Context) -> None:
    """A new owner."""
    rest, group_id = await _group(context)
    [user_id] = await _ids(rest, [context.arguments.handle])
    await rest.transfer(group_id, user_id)
    context.print(f"it belongs to {context.arguments.handle} now")


async def run_dissolve(context: Context) -> None:
    """For good."""
    rest, group_id = await _group(context)
    await rest.dissolve_group(group_id)
    context.print("dissolved")


async def _group(context: Context) -> tuple[RestClient, str]:
    rest = await context.fresh_rest()
    name: str = context.arguments.group
    if name.startswith("g_"):
        return rest, name
    room = await context.room(name if name.startswith("#") else f"#{name}")
    return rest, room.conversation_id


async def _ids(rest: RestClient, handles: list[str]) -> list[int]:
    found: list[int] = []
    for handle in handles:
        try:
            found.append((await rest.find_user(handle)).user_id)
        except NotFound:
            raise NotFound(f"nobody has the handle {handle!r}") from None
    return found
