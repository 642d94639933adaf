"""The document that describes the API, held against the API."""

from __future__ import annotations

from typing import Any

from openapi_schema_validator import OAS31Validator
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.audit import DONE, AuditEntry
from imd.bus.subjects import NODE_REPORT
from imd.config.sections import Config, Limits
from imd.kernel.errors import Code
from imd.pb.bus_pb2 import NodeReport
from tests.business.rest.driven_people import drive_people
from tests.business.rest.driven_policy import drive_policy
from tests.business.world import OPERATOR_TOKEN, PASSWORD, Reply, World

#: A name for every parameter of a path, none of which names anything that is there.
_NONSENSE = {
    "id": "g_0",
    "userId": "7",
    "handle": "nobody",
    "deviceId": "none",
    "friendGroupId": "7",
}

Operations = dict[tuple[str, str], dict[str, Any]]


class Described(SynchronousTestCase):
    """Every route, driven, its answers checked against the document."""

    def setUp(self) -> None:
        self.world = World(config=Config(limits=Limits(registrations_per_hour_per_ip=0)))
        self.document = self.world.call("GET", "/openapi.json").json
        self.operations: Operations = {
            (method.upper(), path): operation
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        }
        self.driven: set[tuple[str, str]] = set()

    def validator(self, schema: dict[str, Any]) -> OAS31Validator:
        return OAS31Validator({**schema, "components": self.document["components"]})

    def validate(self, schema: dict[str, Any], instance: Any) -> None:
        self.validator(schema).validate(instance)

    def drive(
        self, method: str, path: str, body: Any = None, *, token: str = "", query: str = "", **names: str
    ) -> Reply:
        """Call one operation; its answer, and its body if it was accepted, fit what the document says."""
        operation = self.operations[method, path]
        reply = self.world.call(method, path.format(**names) + query, body, token=token)
        answers = operation["responses"]
        answer = answers.get(str(reply.status), answers["default"])
        self.validate(answer["content"]["application/json"]["schema"], reply.json)
        if reply.status < 300:
            self.driven.add((method, path))
            if body is not None:
                self.validate(operation["requestBody"]["content"]["application/json"]["schema"], body)
        self.assertEqual(reply.status < 300, str(reply.status) in answers, reply.raw)
        return reply

    def enter(self, handle: str) -> tuple[str, str]:
        body = {"handle": handle, "password": PASSWORD, "deviceId": "phone", "displayName": handle.title()}
        session = self.drive("POST", "/register", body).json
        return session["userId"], session["token"]

    def accounts(self) -> None:
        _, token = self.enter("zoe")
        token = self.drive("POST", "/login", {"handle": "zoe", "password": PASSWORD, "deviceId": "a"}).json[
            "token"
        ]
        body = {"oldPassword": PASSWORD, "newPassword": "another one"}
        token = self.drive("POST", "/password", body, token=token).json["token"]
        self.drive("GET", "/me", token=token)
        self.drive("GET", "/users/{handle}", token=token, handle="Zoe")
        self.drive("POST", "/refresh", token=token)
        self.world.clock.advance(3000)
        token = self.drive("POST", "/refresh", token=token).json["token"]
        self.drive("POST", "/logout", {"deviceId": "phone"}, token=token)
        self.drive("POST", "/logout", token=token)
        self.drive("GET", "/openapi.json")

    def groups(self) -> None:
        (_, alice), (bob_id, bob), (carol_id, _) = (self.enter(name) for name in ("alice", "bob", "carol"))
        group = self.drive("POST", "/groups", {"title": "Fun", "memberIds": [bob_id]}, token=alice).json
        names = {"id": group["conversationId"], "userId": bob_id}
        one = "/groups/{id}"
        self.drive("GET", one, token=bob, **names)
        self.drive("PATCH", one, {"title": "More"}, token=alice, **names)
        self.drive("POST", one + "/members", {"userIds": [carol_id]}, token=alice, **names)
        self.drive("GET", one + "/members", token=bob, query="?limit=2", **names)
        self.drive("PUT", one + "/members/{userId}/role", {"role": "admin"}, token=alice, **names)
        self.drive("DELETE", one + "/members", {"userIds": [carol_id]}, token=bob, **names)
        self.drive("POST", one + "/transfer", {"userId": bob_id}, token=alice, **names)
        self.drive("POST", one + "/leave", token=alice, **names)
        self.drive("POST", one + "/members", {"userIds": [carol_id]}, token=bob, **names)
        self.drive("DELETE", one + "/members/{userId}", token=bob, **(names | {"userId": carol_id}))
        self.drive("POST", "/conversations/direct", {"userId": carol_id}, token=bob)
        self.drive("POST", "/conversations/direct", {"handle": "carol"}, token=bob)
        self.drive("GET", "/conversations", token=bob, query="?limit=1")
        self.drive("DELETE", one, token=bob, **names)

    def doors(self) -> None:
        (_, ann), (bea_id, bea), (cid_id, cid) = (self.enter(name) for name in ("ann", "bea", "cid"))
        group = self.drive("POST", "/groups", {"title": "Door"}, token=ann).json["conversationId"]
        one, names = "/groups/{id}", {"id": group}
        door = {"joinPolicy": "approval", "question": "Who?", "answer": "me"}
        self.drive("PATCH", one, door, token=ann, **names)
        self.drive("GET", one + "/door", token=bea, **names)
        application, mine = one + "/applications/{userId}", "/me/applications/{id}"
        self.drive("POST", one + "/join", {"message": "Hello"}, token=bea, **names)
        self.drive("GET", "/me/applications", token=bea)
        self.drive("DELETE", mine, token=bea, **names)
        self.drive("POST", one + "/join", token=bea, **names)
        self.drive("POST", one + "/join", token=cid, **names)
        self.drive("GET", one + "/applications", token=ann, query="?limit=1", **names)
        self.drive("POST", application + "/approve", token=ann, userId=bea_id, **names)
        self.drive("POST", application + "/refuse", token=ann, userId=cid_id, **names)
        for answer in ("refuse", "accept"):
            body = {"userIds": [cid_id], "message": "Come"}
            self.drive("POST", one + "/invitations", body, token=ann, **names)
            self.drive("GET", "/me/invitations", token=cid)
            self.drive("POST", "/me/invitations/{id}/" + answer, token=cid, **names)

    def order(self) -> None:
        (_, dan), (eva_id, eva), (fay_id, _) = (self.enter(name) for name in ("dan", "eva", "fay"))
        group = self.drive("POST", "/groups", {"title": "Order", "memberIds": [eva_id]}, token=dan).json
        names = {"id": group["conversationId"]}
        conv, one, text = "/conv/{id}", "/groups/{id}", {"text": "Read\nthis"}
        self.drive("GET", conv + "/members", token=eva, query="?limit=1", **names)
        self.drive("GET", conv + "/role/me", token=eva, **names)
        self.drive("POST", conv + "/mute", {"userIds": [eva_id], "seconds": 60}, token=dan, **names)
        self.drive("POST", conv + "/mute", {"everybody": True}, token=dan, **names)
        self.drive("POST", conv + "/blacklist", {"userIds": [fay_id], "reason": "Noise"}, token=dan, **names)
        self.drive("GET", conv + "/blacklist", token=dan, **names)
        self.drive("DELETE", conv + "/blacklist/{userId}", token=dan, userId=fay_id, **names)
        self.drive(
            "PUT", one + "/members/{userId}/title", {"title": "Chef"}, token=dan, userId=eva_id, **names
        )
        self.drive("PUT", one + "/announcement", text, token=dan, **names)
        self.drive("DELETE", one + "/announcement", token=dan, **names)
        self.drive("GET", one + "/me", token=eva, **names)
        self.drive("PATCH", one + "/me", {"nickname": "E", "pinned": True}, token=eva, **names)

    def operators(self) -> None:
        (gil_id, _), (hal_id, _) = (self.enter(name) for name in ("gil", "hal"))
        body = {"title": "All", "ownerId": gil_id, "kind": "official", "sensitive": True}
        made = self.drive("POST", "/operator/groups", body, token=OPERATOR_TOKEN).json
        one, token, names = "/operator/groups/{id}", OPERATOR_TOKEN, {"id": made["conversationId"]}
        self.drive("GET", one, token=token, **names)
        self.drive("PATCH", one, {"kind": "normal", "sensitive": False}, token=token, **names)
        self.drive("POST", one + "/members", {"userIds": [hal_id]}, token=token, **names)
        self.drive("POST", one + "/transfer", {"userId": hal_id}, token=token, **names)
        self.drive("DELETE", one + "/members", {"userIds": [gil_id]}, token=token, **names)
        self.drive("DELETE", one, token=token, **names)

    def gateways(self) -> None:
        report = NodeReport(ready=True, maxConnections=9, weight=1, ws="ws://h/ws")
        self.world.bus.publish(NODE_REPORT, report.SerializeToString())
        self.world.clock.advance(0)
        self.drive("GET", "/gateways", query="?zone=z&version=2.1&device=phone")

    def audit(self) -> None:
        self.world.parts.audit.record(AuditEntry("group.mute", DONE))
        self.world.clock.pump([0.0] * 6)
        self.drive("GET", "/operator/audit", token=OPERATOR_TOKEN, query="?actor=0&limit=1")

    def explain(self) -> None:
        user_id, _ = self.enter("ida")
        # No core is there, which is told in the answer.
        self.drive("GET", "/operator/explain", token=OPERATOR_TOKEN, query=f"?message=c:1&user={user_id}")

    def test_every_operation(self) -> None:
        """Each operation works as described, and none is missing from this test."""
        self.accounts()
        self.groups()
        self.doors()
        self.order()
        self.operators()
        self.gateways()
        self.audit()
        self.explain()
        drive_people(self)
        drive_policy(self)
        self.assertEqual(self.driven, set(self.operations))

    def test_errors(self) -> None:
        """Refusals of all operations, without a token and with nonsense, fit the document too."""
        _, token = self.enter("alice")
        for (method, path), operation in self.operations.items():
            for body in ({"nonsense": 1}, None):
                for bearer in ("", token):
                    body_here = body if "requestBody" in operation else None
                    self.drive(method, path, body_here, token=bearer, **_NONSENSE)

    def test_routes(self) -> None:
        """Every route is described, and everything described is routed, with the same words for parameters."""
        api = self.world.parts.api
        routed = {
            (method, str(rule.rule).removeprefix("/v1").replace("<", "{").replace(">", "}"))
            for rule in api._router._app.url_map.iter_rules()
            for method in (rule.methods or set()) - {"HEAD"}
        }
        self.assertEqual(routed, set(self.operations))
        for (_, path), operation in self.operations.items():
            in_path = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            self.assertEqual(
                {f"{{{name}}}" for name in in_path}, {part for part in path.split("/") if "{" in part}
            )

    def test_document(self) -> None:
        """It is OpenAPI 3.1: its schemas are schemas, its references lead somewhere, its ids are unique."""
        self.assertEqual(self.document["openapi"], "3.1.0")
        for schema in self.document["components"]["schemas"].values():
            OAS31Validator.check_schema(schema)
        for operation in self.operations.values():
            meaning = operation["responses"]["default"]["description"]
            for code in set(Code) - {Code.OK}:
                self.assertIn(f"{code:d} {code.name}", meaning)
        names = [operation["operationId"] for operation in self.operations.values()]
        self.assertEqual(len(names), len(set(names)))
        public = sorted(path for (_, path), one in self.operations.items() if one["security"] == [])
        self.assertEqual(public, ["/gateways", "/login", "/openapi.json", "/register"])

    def test_refusal_is_noticed(self) -> None:
        """The check above can fail: an answer with a wrong field does not fit."""
        schema = {"$ref": "#/components/schemas/Done"}
        self.assertFalse(self.validator(schema).is_valid({"ok": "yes"}))
