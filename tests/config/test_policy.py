"""What [content] and [webhook] can have wrong."""

from __future__ import annotations

from pathlib import Path

from imd.config.load import load
from imd.config.sections import BusinessConfig, Config, CoreConfig
from tests.config.test_roles import TOKEN, RoleCase


class Policy(RoleCase):
    """Each wrong key is told with its path; a URL, which may hold a key, is never repeated."""

    def test_all_at_once(self) -> None:
        """Everything that is wrong in both sections, at once."""
        problems = self.problems(
            Config,
            """[content]
            word_files = ["", "words.txt"]
            hook_url = "ftp://secret@a"
            hook_deadline_ms = 0
            hook_on_failure = "ajar"
            [webhook]
            url = "http://169.254.169.254/secret"
            secret_file = "/nowhere"
            events = ["message.stored", "message.lost"]
            max_tries = 0
            """,
        )
        self.assertEqual(
            sorted(problem.partition(": ")[0] for problem in problems),
            [
                "content.hook_deadline_ms",
                "content.hook_on_failure",
                "content.hook_url",
                "content.word_files[0]",
                "webhook.events[1]",
                "webhook.max_tries",
                "webhook.secret_file",
                "webhook.url",
            ],
        )
        self.assertNotIn("secret@", str(problems))
        self.assertNotIn("/secret", str(problems))

    def test_short_secret(self) -> None:
        """A secret that could be guessed is refused."""
        short = self.file("short", "a.key")
        self.refused(
            CoreConfig, f'[content]\nhook_url = "http://a/"\nhook_secret_file = "{short}"', "shorter than"
        )
        self.refused(
            BusinessConfig,
            self.business(f'[webhook]\nurl = "http://a/"\nsecret_file = "{short}"'),
            "shorter than",
        )

    def test_open_secret(self) -> None:
        """A secret that everybody can read is refused."""
        file = self.file(TOKEN, "b.key", mode=0o644)
        self.refused(
            CoreConfig, f'[content]\nhook_url = "http://a/"\nhook_secret_file = "{file}"', "open to everybody"
        )

    def test_good(self) -> None:
        """With a URL and a secret it loads; in one process that alone has messages told."""
        file = self.file(TOKEN, "c.key")
        text = f'[webhook]\nurl = "http://10.0.0.1/hook"\nsecret_file = "{file}"'
        config = load(self.file(text), {}, Config)
        self.assertTrue(config.webhook.enabled)
        self.assertFalse(load("", {}, Config).webhook.enabled)
        self.assertTrue(Path(config.webhook.secret_file).exists())

    def test_each_role_its_own(self) -> None:
        """Core knows whether, business knows where."""
        self.assertEqual(len(self.problems(CoreConfig, '[webhook]\nurl = "http://a/"')), 1)
        self.assertEqual(len(self.problems(BusinessConfig, self.business("[webhook]\nenabled = true"))), 1)
