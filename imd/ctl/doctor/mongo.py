"""MongoDB: reached, logged in to, a replica set that confirms, with the indexes that all order rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from imd.config.address import is_this_machine, parse_host
from imd.config.engines import Mongo
from imd.config.secret import read_secret
from imd.core.message.mongo_documents import ARCHIVE_PREFIX, CURSORS, HOT_PREFIX, collection_of
from imd.core.message.mongo_indexes import CURSOR_INDEXES, MESSAGE_INDEXES, Index
from imd.ctl.doctor import floors
from imd.ctl.doctor.clocks import Instant, skew
from imd.ctl.doctor.engine_tls import ends_at, engine_expiry
from imd.ctl.doctor.finding import Check, Finding, Level, worst_of
from imd.ctl.doctor.floors import dotted
from imd.ctl.doctor.world import World
from imd.storage.mongo_primary import MAX_HOSTS

REACHED = Check("mongo.reached", "without a majority of its members no message is stored")
LOGIN = Check("mongo.login", "im-core does not start")
GUARDED = Check("mongo.guarded", "whoever reaches it reads and changes every message")
VERSION = Check("mongo.version", "im-core refuses it")
ZLIB = Check("mongo.zlib", "strangers read what is in the server's memory: passwords, messages")
SET = Check("mongo.replica_set", "STORED means that a majority of the set has it on disk")
MEMBERS = Check("mongo.members", "a set outlives the loss of less than half of its members")
LAG = Check("mongo.lag", "a member that is behind confirms nothing, and may not take over")
CONFIRMS = Check("mongo.confirms", "no message is STORED until a majority confirms writes")
INDEXES = Check(
    "mongo.indexes", "without them messages are doubled, or lose their order; im-core writes nothing"
)
COLLECTIONS = Check(
    "mongo.collections", "messages in a collection that no node looks into are as good as lost"
)

CALL_TIMEOUT_MS = 4000
TIMEOUT_S = 40.0
_LAG_S = 10.0
_UNAUTHORIZED, _AUTHENTICATION_FAILED = 13, 18
_NO_SUCH_COLLECTION = 26

Document = dict[str, Any]


class Member(NamedTuple):
    """What one member says of itself, to anybody; ``hello`` is empty if it says nothing."""

    address: str
    hello: Mapping[str, Any]
    version: tuple[int, ...] = ()
    #: Why there is no hello.
    error: str = ""
    #: Whether somebody who has not logged in may list the databases.
    is_open: bool = False
    #: Whether nobody else is on the way to it.
    local: bool = False
    #: Of its certificate.
    ends: str = ""
    instant: Instant | None = None


def mongo(config: Mongo, world: World) -> Iterator[Finding]:
    """Each member as anybody sees it, then the set as its user does."""
    about = f"MongoDB {config.database} on {', '.join(config.hosts)}"
    members = _members(config, world)
    for member in members:
        yield from of_member(member)
        yield from engine_expiry(f"MongoDB {member.address}", member.ends, world)
    found = list(of_set(about, config.replica_set, members))
    yield from found
    if not found or worst_of(found) == Level.FAIL:
        # There is nobody to log in to.
        return
    try:
        with _client(config) as client:
            yield from _as_user(about, config, client, world)
    except OperationFailure as error:
        yield failed(about, config, error)
    except PyMongoError as error:
        yield SET.fail(
            about,
            f"has no primary: {_said(error)}",
            "start enough members for a majority; the names in the set must be those in mongo.hosts",
        )


def of_member(member: Member) -> Iterator[Finding]:
    """A mongod, whoever asks."""
    about = f"MongoDB {member.address}"
    if not member.hello:
        yield REACHED.fail(
            about, f"no answer: {member.error}", "start it, or check [mongo] hosts, ca_file and the firewall"
        )
        return
    yield REACHED.ok(about, "answers")
    if member.is_open:
        report = GUARDED.warn if member.local else GUARDED.fail
        yield report(about, "lists its databases to whoever connects",
                     "start it with --auth or --keyFile, and make users")  # fmt: skip
    else:
        yield GUARDED.ok(about, "tells strangers nothing")
    yield from version(about, member)
    if member.instant is not None:
        yield skew(about, member.instant)


def version(about: str, member: Member) -> Iterator[Finding]:
    if member.version:
        if member.version < floors.MONGODB.version:
            yield VERSION.fail(about, f"MongoDB {dotted(member.version)}",
                               f"use {floors.MONGODB} or newer: {floors.MONGODB.reason}")  # fmt: skip
        else:
            yield VERSION.ok(about, f"MongoDB {dotted(member.version)}")
    compresses = "zlib" in member.hello.get("compression", ())
    if compresses and not (member.version and floors.MONGODB_ZLIB.is_in(member.version)):
        yield ZLIB.fail(
            about,
            f"MongoDB {dotted(member.version) or 'of an unknown version'} takes zlib: {floors.MONGODB_ZLIB.flaw}",
            "upgrade to the newest release of its line, or start it with --networkMessageCompressors=snappy,zstd",
        )
    else:
        yield ZLIB.ok(about, "takes no zlib" if not compresses else "zlib is repaired in this release")


def of_set(about: str, wanted: str, members: Sequence[Member]) -> Iterator[Finding]:
    """The set, as its members see it."""
    told = [member for member in members if member.hello]
    if not told:
        return
    names = {str(member.hello.get("setName", "")) for member in told}
    if names != {wanted}:
        found = ", ".join(sorted(name or "no set" for name in names))
        yield SET.fail(about, f"is {found}, and mongo.replica_set says {wanted or 'none'}",
                       "start mongod with --replSet and rs.initiate(), or correct mongo.replica_set")  # fmt: skip
        return
    if not wanted:
        yield SET.warn(about, "is one server without a set", "make it a set, of three members if you can",
                       means="STORED does not outlive that server")  # fmt: skip
        return
    primaries = [member.address for member in told if member.hello.get("isWritablePrimary")]
    if len(primaries) == 1:
        yield SET.ok(about, f"is {wanted}, its primary {primaries[0]}")
    else:
        yield SET.fail(about, f"has {'two primaries' if primaries else 'no primary'}",
                       "start enough members for a majority; look at rs.status()")  # fmt: skip
    yield from _size(about, told)
    yield lag(about, told)


def _size(about: str, told: Sequence[Member]) -> Iterator[Finding]:
    voting = len({host for member in told for host in member.hello.get("hosts", ())})
    found = f"{voting} {'member' if voting == 1 else 'members'}, of which {len(told)} answer"
    if voting == 1:
        yield MEMBERS.note(about, found, "add two members, on other machines",
                           means="messages are as safe as that one disk")  # fmt: skip
    elif len(told) < voting:
        yield MEMBERS.warn(about, found, "start the others",
                           means="one more that fails, and nothing is stored any more")  # fmt: skip
    elif voting % 2 == 0:
        yield MEMBERS.warn(about, found, "add one, or take one away",
                           means="an even number survives no more losses than one less")  # fmt: skip
    else:
        yield MEMBERS.ok(about, found)


def lag(about: str, told: Sequence[Member]) -> Finding:
    """How far the last write of each is behind the newest."""
    written = {
        member.address: member.hello["lastWrite"]["lastWriteDate"]
        for member in told
        if isinstance(member.hello.get("lastWrite", {}).get("lastWriteDate"), datetime)
    }
    newest = max(written.values(), default=None)
    late = {
        address: (newest - at).total_seconds()
        for address, at in written.items()
        if newest is not None and (newest - at).total_seconds() > _LAG_S
    }
    if late:
        found = ", ".join(f"{address} is {seconds:.0f} s behind" for address, seconds in late.items())
        return LAG.warn(
            about,
            found,
            "see whether its disk or the way there is too slow (rs.printSecondaryReplicationInfo())",
        )
    return LAG.ok(about, "nobody is behind")


def failed(about: str, config: Mongo, error: OperationFailure) -> Finding:
    who = config.user or "somebody without a user"
    if error.code == _AUTHENTICATION_FAILED:
        return LOGIN.fail(about, f"refuses {who}",
                          f"check mongo.user and mongo.password_file; the user is one of the database {config.database}, "
                          'made with mechanisms: ["SCRAM-SHA-1"]')  # fmt: skip
    return LOGIN.fail(about, f"{who} may not: {_said(error)}",
                      f'db.grantRolesToUser("{config.user}", ["readWrite"]) in {config.database}')  # fmt: skip


def _as_user(about: str, config: Mongo, client: MongoClient[Document], world: World) -> Iterator[Finding]:
    database = client[config.database]
    names = set(database.list_collection_names())
    yield LOGIN.ok(about, f"lets {config.user or 'whoever connects'} in")
    yield confirms(about, _majority_write(database, world))
    wanted: dict[str, tuple[Index, ...]] = {
        collection_of(partition): MESSAGE_INDEXES for partition in range(config.message_collections)
    }
    wanted[CURSORS] = CURSOR_INDEXES
    found = {name: list(database[name].list_indexes()) for name in wanted if name in names}
    yield from indexes(about, wanted, found)
    yield collections(about, config.message_collections, names)


def _majority_write(database: Any, world: World) -> str:
    """The write that im-core makes at its start, which harms nobody; what went wrong, or nothing."""
    try:
        reply = database.command(
            {
                "update": "imd_start",
                "updates": [
                    {"q": {"_id": "majority"}, "u": {"$set": {"at": world.wall_clock()}}, "upsert": True}
                ],
                "writeConcern": {"w": "majority", "j": True, "wtimeout": CALL_TIMEOUT_MS},
            }
        )
    except OperationFailure as error:
        return _said(error)
    return str(reply.get("writeConcernError", {}).get("errmsg", ""))


def confirms(about: str, wrong: str) -> Finding:
    if wrong:
        return CONFIRMS.fail(about, f"a write with w: majority, j: true failed: {wrong}",
                             "start the other members; grant the user readWrite")  # fmt: skip
    return CONFIRMS.ok(about, "a majority confirms writes")


def indexes(
    about: str, wanted: Mapping[str, Sequence[Index]], found: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[Finding]:
    """:param found: of each collection that is there, as listIndexes has them."""
    missing = [
        (name, index) for name, those in wanted.items() if name in found for index in those
        if not index.is_among(found[name])
    ]  # fmt: skip
    for name, index in missing:
        unique = ", {unique: true}" if index.unique else ""
        report = INDEXES.fail if index.unique else INDEXES.warn
        yield report(
            about,
            f"{name} has no {'unique ' if index.unique else ''}index {index.name}",
            f"look for doubled entries, then db.{name}.createIndex({dict(index.key)}{unique})",
            **({} if index.unique else {"means": "who looks for messages by time waits for long"}),
        )
    if not found:
        yield INDEXES.note(
            about, "has no collections yet", "nothing: the first im-core makes them", means="it is new"
        )
    elif not missing:
        yield INDEXES.ok(about, f"{len(found)} collections have theirs")


def collections(about: str, count: int, names: set[str]) -> Finding:
    """Whether there are hot collections beyond those that are used."""
    known = {collection_of(partition) for partition in range(count)}
    more = sorted(
        name for name in names
        if name.startswith(HOT_PREFIX) and not name.startswith(ARCHIVE_PREFIX) and name not in known
    )  # fmt: skip
    if more:
        return COLLECTIONS.fail(about, f"has {', '.join(more)}, and mongo.message_collections is {count}",
                                "set it back to what it was when the first message was stored")  # fmt: skip
    return COLLECTIONS.ok(about, f"messages are in {count} collections")


def _members(config: Mongo, world: World) -> list[Member]:
    """Those that are named here, and those that they name."""
    asked: dict[str, Member] = {}
    waiting = list(config.hosts)
    while waiting and len(asked) < MAX_HOSTS:
        address = waiting.pop(0)
        if address not in asked:
            asked[address] = member = _member(address, config, world)
            waiting += [str(each) for each in member.hello.get("hosts", ())]
    return list(asked.values())


def _member(address: str, config: Mongo, world: World) -> Member:
    try:
        host, port = parse_host(address)
        ends = ends_at(host, port, config.ca_file, timeout_s=CALL_TIMEOUT_MS / 1000) if config.ca_file else ""
        with MongoClient[Document](host, port, directConnection=True, **_options(config)) as client:
            # A hello of our own: the driver's have not this one's time.
            asked_ms = world.wall_clock()
            hello = client.admin.command("hello", compression=["zlib"])
            answered_ms = world.wall_clock()
            said: datetime = hello["localTime"]
            instant = Instant(asked_ms, answered_ms, said.replace(tzinfo=UTC).timestamp() * 1000)
            return Member(
                address,
                hello,
                _version(client),
                is_open=_lists_databases(client),
                local=is_this_machine(host),
                instant=instant,
                ends=ends,
            )
    except (PyMongoError, OSError, ValueError, KeyError) as error:
        return Member(address, {}, error=_said(error))


def _said(error: Exception) -> str:
    """Without the driver's view of the set, which it adds to each error."""
    return str(error).partition(", Timeout: ")[0][:300]


def _version(client: MongoClient[Document]) -> tuple[int, ...]:
    return tuple(client.server_info()["versionArray"][:3])


def _lists_databases(client: MongoClient[Document]) -> bool:
    try:
        client.admin.command("listDatabases", nameOnly=True)
    except OperationFailure:
        return False
    return True


def _client(config: Mongo) -> MongoClient[Document]:
    login: dict[str, Any] = {}
    if config.user:
        password = read_secret(config.password_file) if config.password_file else ""
        # The mechanism that im-core uses.
        login = {"username": config.user, "password": password, "authSource": config.database,
                 "authMechanism": "SCRAM-SHA-1"}  # fmt: skip
    if config.replica_set:
        login["replicaSet"] = config.replica_set
    return MongoClient(list(config.hosts), **_options(config), **login)


def _options(config: Mongo) -> dict[str, Any]:
    options: dict[str, Any] = {
        "serverSelectionTimeoutMS": CALL_TIMEOUT_MS,
        "connectTimeoutMS": CALL_TIMEOUT_MS,
        "socketTimeoutMS": CALL_TIMEOUT_MS,
        "appname": "imctl doctor",
    }
    if config.ca_file:
        options |= {"tls": True, "tlsCAFile": config.ca_file}
    return options
