"""What must hold of the address at which metrics are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from imd.config.address import EXPECTED, parse_address
from imd.config.conflict import Conflict
from imd.config.metrics import Metrics


def of_metrics(metrics: Metrics, listeners: Mapping[str, str]) -> Iterator[Conflict]:
    """:param listeners: path of every other address on which the role listens, and the address."""
    if not metrics.listen:
        return
    try:
        address = parse_address(metrics.listen)
    except ValueError as error:
        yield Conflict("metrics.listen", f"{error}; expected {EXPECTED}")
        return
    if address.is_public and not metrics.allow_public:
        yield Conflict(
            "metrics.listen",
            f"{address} can be reached by others, in the clear and without a password; listen on 127.0.0.1, or set "
            "metrics.allow_public on a network of your own",
            ("metrics.allow_public",),
        )
    for path, text in listeners.items():
        try:
            taken = parse_address(text)
        except ValueError:
            # Told already.
            continue
        if address.port and address == taken:
            yield Conflict("metrics.listen", f"{address} is taken by {path}", (path,))
