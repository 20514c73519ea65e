"""Progress of long loops: a bar on a terminal, and log lines elsewhere.

A log line comes every half minute and states the time left.
"""

import sys
import time
from collections.abc import Iterable, Iterator

from tqdm import tqdm

LOG_EVERY_S = 30.0


def track(items: Iterable, label: str, total: int | None = None, start: int = 0) -> Iterator:
    """Yields ``items`` and reports on stderr how far the loop is.

    ``start`` items were done in an earlier run; ``total`` counts them as well.
    """
    total = total if total is not None else start + len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=label, total=total, initial=start, leave=False)
        return
    begun = last = time.monotonic()
    for done, item in enumerate(items, start=start + 1):
        yield item
        now = time.monotonic()
        if now - last > LOG_EVERY_S:
            last = now
            left = (now - begun) / (done - start) * (total - done)
            print(f"{label}: {done}/{total}, {left / 60:.1f} min left", file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Tells what a user should know of a result, on stderr."""
    print(text, file=sys.stderr, flush=True)
