"""Which file is whose, and what is wrong in it."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.doctor.finding import Finding, Level
from imd.ctl.doctor.targets import Target, agreement, targets_of, valid
from imd.ctl.exits import CommandFailed


class TargetCase(SynchronousTestCase):
    """Configurations in files."""

    def file(self, name: str, text: str) -> str:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        path = folder / name
        path.write_text(text)
        return str(path)

    def targets(self, *files: str, **environ: str) -> list[Target]:
        return list(targets_of(files, environ))


class Roles(TargetCase):
    """Whose file is it."""

    def test_by_name(self) -> None:
        """A role's own name, the names of tools/cluster and those of people."""
        for name, role in (
            ("im.toml", "im"),
            ("im-core.toml", "im-core"),
            ("core-1.toml", "im-core"),
            ("our_business.toml", "im-business"),
            ("admin-2.toml", "im-admin"),
        ):
            (target,) = self.targets(self.file(name, "node_id = 3\n"))
            self.assertEqual((target.role, target.config.node_id), (role, 3), name)

    def test_by_keys(self) -> None:
        """A name that says nothing: the one role that knows all of its keys."""
        (target,) = self.targets(self.file("chat.toml", "[redis]\ndatabase = 1\n"))
        self.assertEqual(target.role, "im-core")

    def test_said(self) -> None:
        """ROLE=FILE stands above all."""
        file = self.file("im.toml", "node_id = 1\n")
        (target,) = self.targets(f"im-business={file}")
        self.assertEqual(target.role, "im-business")

    def test_ambiguous(self) -> None:
        """Where several would do, the operator is asked to say it; a file that is not there is told."""
        for given, word in (
            (self.file("x.toml", "node_id = 1\n"), "--config ROLE="),
            ("nowhere", "is not there"),
            ("im=nowhere", "is not there"),
            ("im=", "is not there"),
        ):
            failed = self.assertRaises(CommandFailed, self.targets, given)
            self.assertIn(word, str(failed))

    def test_default(self) -> None:
        """Without a file it is `twistd im`, with what the environment says."""
        (target,) = self.targets(IM__NODE_ID="5")
        self.assertEqual((target.role, target.config.node_id), ("im", 5))

    def test_environment_of_another_role(self) -> None:
        """A variable that only one of several roles knows is no problem of the others."""
        both = [self.file("im-core.toml", ""), self.file("im-admin.toml", "")]
        for target in self.targets(*both, IM__REDIS__DATABASE="2"):
            self.assertEqual(target.examined.problems, [])


class Problems(TargetCase):
    """What is wrong in them."""

    def failures(self, *findings: Finding) -> list[str]:
        return [each.found for each in findings if each.level == Level.FAIL]

    def test_all_at_once(self) -> None:
        """Each problem is a finding of its own with its dotted path; the rest is still looked at."""
        (target,) = self.targets(
            self.file(
                "im.toml", 'nod_id = 1\n[gateway]\nmax_connections = "many"\n[listen]\ntcp = "0.0.0.0:1"\n'
            )
        )
        found = self.failures(*valid(target))
        self.assertEqual([text.partition(":")[0] for text in found],
                         ["nod_id", "gateway.max_connections", "listen.tcp"])  # fmt: skip
        self.assertIsNone(target.section("gateway"))
        self.assertIsNone(target.section("redis"))
        self.assertIsNotNone(target.section("limits"))

    def test_not_toml(self) -> None:
        """A file that cannot be read as TOML is a finding, too: others are still looked at, and nothing is made of it."""
        broken, good = self.targets(
            self.file("im-core.toml", "node_id = = 1\n"), self.file("core-2.toml", "")
        )
        (found,) = self.failures(*valid(broken))
        self.assertIn("line 1", found)
        for section in ("listen", "nats", "mongo", "redis"):
            self.assertIsNone(broken.section(section))
        self.assertTrue(broken.is_wrong("listen.tcp"))
        self.assertEqual(self.failures(*valid(good), *agreement([broken, good])), [])

    def test_same_node_id(self) -> None:
        """Two nodes of a role with one node_id, which would drive each other out."""
        targets = self.targets(*(self.file(f"core-{n}.toml", "node_id = 4\n") for n in (1, 2)))
        (found,) = self.failures(*agreement(targets))
        self.assertIn("node_id 4 is also that of", found)

    def test_disagreement(self) -> None:
        """What all nodes of a role must have alike; other roles are not asked."""
        one = self.file("core-1.toml", "node_id = 1\n[mongo]\nmessage_collections = 4\n")
        two = self.file("core-2.toml", "node_id = 2\n[mongo]\nmessage_collections = 8\n")
        admin = self.file("admin-1.toml", "")
        (found,) = self.failures(*agreement(self.targets(one, two, admin)))
        self.assertIn("mongo.message_collections", found)
        self.assertEqual(self.failures(*agreement(self.targets(one, admin))), [])
