"""What people say of themselves, and how they are found."""

from __future__ import annotations

from tests.business.relations.people import people
from tests.business.world import WorldCase


class Editing(WorldCase):
    """One's own profile."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.alice, self.bob = people(self.world, "alice", "bob")

    def test_edit(self) -> None:
        """What is given is set, what is not stays, and others see it."""
        picture = "https://img.example.com:8443/a/b.png?size=64&x=%20"
        self.alice.does("PATCH", "/me", {"displayName": " Alice L. ", "avatarUrl": picture})
        me = self.alice.does("PATCH", "/me", {"about": "at sea"})
        self.assertEqual((me["displayName"], me["about"], me["avatarUrl"]), ("Alice L.", "at sea", picture))
        seen = self.bob.does("GET", "/users/alice")
        self.assertEqual(
            (seen["displayName"], seen["about"], seen["avatarUrl"]), ("Alice L.", "at sea", picture)
        )
        cleared = self.alice.does("PATCH", "/me", {"displayName": "", "about": "", "avatarUrl": ""})
        self.assertEqual((cleared["displayName"], cleared["about"], cleared["avatarUrl"]), ("alice", "", ""))
        self.assertEqual(self.alice.does("PATCH", "/me", {})["displayName"], "alice")

    def test_wrong_input(self) -> None:
        """Names that break lines, texts that are too long, and pictures that are more than that."""
        for field, value in (
            ("displayName", "a\nb"),
            ("displayName", "x" * 65),
            ("about", "x" * 257),
            ("about", "a\u202eb"),
            ("about", None),
            ("handle", "eve"),
            ("avatarUrl", "http://img.example.com/a.png"),
            ("avatarUrl", "javascript:alert(1)"),
            ("avatarUrl", "https://user@evil.example.com/"),
            ("avatarUrl", 'https://img.example.com/"onerror="x'),
            ("avatarUrl", "https://img.example.com/a b"),
            ("avatarUrl", "https://img.example.com/\n"),
            ("avatarUrl", "https://"),
            ("avatarUrl", "https://img.example.com/" + "x" * 500),
        ):
            self.assertEqual(
                self.alice.refused("PATCH", "/me", {field: value})[::2], (400, field), (field, value)
            )


class Finding(WorldCase):
    """Others."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.alice, self.bob, self.bobby = people(self.world, "alice", "bob", "bobby.tables")

    def found(self, prefix: str) -> list[str]:
        return [one["handle"] for one in self.alice.does("GET", f"/search/users?prefix={prefix}")["users"]]

    def test_by_ids(self) -> None:
        """Those who are there, each once; whoever is not is left out."""
        ids = f"{self.bob.id},{self.bobby.id},12345,{self.bob.id}"
        found = self.alice.does("GET", f"/users?ids={ids}")["users"]
        self.assertEqual(sorted(one["handle"] for one in found), ["bob", "bobby.tables"])

    def test_wrong_ids(self) -> None:
        """What is no list of ids, or too long a one."""
        for query in ("", "?ids=", "?ids=x", "?ids=1,,2", f"?ids={1 << 63}", "?ids=" + ",".join(["1"] * 101)):
            self.assertEqual(self.alice.refused("GET", f"/users{query}"), (400, "", "ids"), query)

    def test_search(self) -> None:
        """By the beginning of the handle, upper or lower case, in order."""
        self.assertEqual(self.found("bob"), ["bob", "bobby.tables"])
        self.assertEqual(self.found("BOBBY."), ["bobby.tables"])
        self.assertEqual(self.found("obby"), [])
        self.assertEqual(self.found("bo_"), [])

    def test_wrong_prefix(self) -> None:
        """Too short, too long, or with what no handle has."""
        for prefix in ("", "bo", "b%25b", "bob*", "x" * 33, "bo%00b", "%C3%A4bc"):
            self.assertEqual(
                self.alice.refused("GET", f"/search/users?prefix={prefix}"), (400, "", "prefix"), prefix
            )
        self.assertEqual(self.alice.refused("GET", "/search/users"), (400, "", "prefix"))

    def test_findable(self) -> None:
        """Who does not want to be found by search is found by those who know the handle."""
        self.bob.does("PATCH", "/me/privacy", {"findable": False})
        self.assertEqual(self.found("bob"), ["bobby.tables"])
        self.assertEqual(self.alice.does("GET", "/users/bob")["handle"], "bob")

    def test_no_next_page(self) -> None:
        """A search shows twenty at most, and tells that there are more."""
        for number in range(21):
            self.world.register(f"crowd{number:02}", peer=f"198.51.100.{number}")
        answer = self.alice.does("GET", "/search/users?prefix=crowd")
        self.assertEqual((len(answer["users"]), answer["more"]), (20, True))
        self.assertFalse(self.alice.does("GET", "/search/users?prefix=crowd0")["more"])

    def test_rate(self) -> None:
        """Nobody leafs through the directory; others search on."""
        for _ in range(20):
            self.found("bob")
        self.assertEqual(self.alice.refused("GET", "/search/users?prefix=bob")[0], 429)
        self.bob.does("GET", "/search/users?prefix=bob")
        for _ in range(30):
            self.alice.does("GET", f"/users?ids={self.bob.id}")
        self.assertEqual(self.alice.refused("GET", "/users?ids=1")[0], 429)
