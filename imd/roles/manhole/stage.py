"""The manhole of a role, from its section; nothing of it is loaded while it is off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from imd.bus.audit import AuditEntry
from imd.config.manhole import Manhole, manhole_path
from imd.kernel.lifecycle import Stage
from imd.ops.manhole.names import names


def manhole_stages(
    section: Manhole,
    *,
    about: str,
    node_id: int,
    commands: Mapping[str, Callable[..., object]],
    objects: Mapping[str, object],
    record: Callable[[AuditEntry], None],
    redact: Callable[[str], str],
    reactor: Any,
) -> list[tuple[str, Stage]]:
    """What to start, once all that it shows is there; nothing if it is off.

    :param about: what process this is, such as "im-core node 3".
    :param commands: what operators may call, by name.
    :param redact: takes secrets out of a text, as for the log.
    :param objects: what the role is made of, for who needs more.
    """
    if not section.listen:
        return []
    # After the reactor is in place, which it would bring in another kind; and half a second less for all others.
    from imd.ops.manhole.server import Manhole as Server
    from imd.ops.manhole.server import ManholeValues

    path = manhole_path(section.listen, node_id)
    server = Server(
        ManholeValues(
            path=path,
            address="" if path else section.listen,
            authorized_keys_file=section.authorized_keys_file,
            host_key_file=section.host_key_file,
            idle_timeout_s=section.idle_timeout_s,
            max_sessions=section.max_sessions,
        ),
        namespace=lambda: names(commands, objects, about=about),
        greeting=f"{about}: help() lists what there is; all that you type is run in the server, and kept in the log",
        record=record,
        redact=redact,
        reactor=reactor,
    )
    return [("manhole", server)]
