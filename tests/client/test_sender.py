"""What may be sent at all."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.client.sender import MAX_ENVELOPE_BYTES
from imd.kernel.errors import PayloadInvalid
from tests.client.scripted import Scene, run


class SizeTests(SynchronousTestCase):
    """A frame that is too long would cost the connection, and everything under way on it."""

    def test_too_long(self) -> None:
        """It is refused here, and nothing of it reaches the server."""
        scene = Scene().live()
        for size in (MAX_ENVELOPE_BYTES, 3_000_000):
            self.failureResultOf(
                run(scene.client.send_custom(b"x" * size, conversation_id="c")), PayloadInvalid
            )
        self.assertEqual(scene.link.heard, [])
        self.assertEqual(scene.client.unsettled, 0)

    def test_longest(self) -> None:
        """What the server takes goes out."""
        scene = Scene().live()
        run(scene.client.send_custom(b"x" * 256 * 1024, conversation_id="c"))
        self.assertEqual(len(scene.link.take("send")), 1)

    def test_json(self) -> None:
        """In JSON bytes grow by a third, and the server allows for that; it weighs the Envelope in it."""
        scene = Scene(json=True)
        scene.client._session.sender.opened()
        longest = run(scene.client.send_custom(b"x" * 256 * 1024, conversation_id="c"))
        self.assertNoResult(longest)
        self.failureResultOf(
            run(scene.client.send_custom(b"x" * MAX_ENVELOPE_BYTES, conversation_id="c")), PayloadInvalid
        )
        self.failureResultOf(
            run(scene.client.send_text("\x01" * 100_000, conversation_id="c")), PayloadInvalid
        )

    def test_no_unicode(self) -> None:
        """Half a surrogate pair is refused like any other wrong content."""
        scene = Scene().live()
        self.failureResultOf(run(scene.client.send_text("\ud800", conversation_id="c")), PayloadInvalid)
