"""The first span of a sampled message: from the frame to the final answer."""

from __future__ import annotations

from imd.core.gateway.sampling import Sampling
from imd.core.gateway.session import Session
from imd.core.message.sends import PendingSend
from imd.core.message.traced import TracedSend
from imd.kernel.trace_context import TraceContext
from imd.ops.tracing import Kind, Tracer
from imd.pb.envelope_pb2 import Envelope

#: Looked up once, see imd/wire/codec.py.
_has_field = Envelope.HasField


class Traces:
    """Begins the traces of messages that clients send to this node."""

    def __init__(self, *, tracer: Tracer, sampling: Sampling) -> None:
        self._tracer = tracer
        self._sampling = sampling

    def change(self, *, ratio: float, chosen_per_s: float) -> None:
        """See ``Sampling.change``."""
        self._sampling.change(ratio=ratio, chosen_per_s=chosen_per_s)

    def look(self, send: PendingSend, session: Session, envelope: Envelope) -> None:
        """Sets ``send.traced`` if the message is sampled."""
        sampling = self._sampling
        said = envelope.header.traceId if _has_field(envelope, "header") else ""
        if said:
            parent = sampling.of_client(said)
        elif sampling.skip:
            sampling.skip -= 1
            return
        else:
            parent = sampling.of_server()
        if parent is not None:
            self._begin(send, session, parent)

    def _begin(self, send: PendingSend, session: Session, parent: TraceContext) -> None:
        conversation_id, user_id, client_msg_id = send.key
        whole = self._tracer.start(
            "gateway.receive",
            parent,
            kind=Kind.SERVER,
            attributes={
                "im.conversation_id": conversation_id,
                "im.user_id": user_id,
                "im.device_id": session.device_id,
                "im.client_msg_id": client_msg_id,
                "im.server_msg_id": send.server_msg_id,
                "im.size_bytes": len(send.body),
            },
        )
        send.traced = TracedSend(self._tracer, whole.context, whole=whole)
