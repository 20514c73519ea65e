"""What a case is charged with: its own memory, not that of the cases before it."""

import torch

from recon.study.cases import Stopwatch


def test_freed_memory_is_not_charged_to_the_next_case():
    kept = []  # what lies behind freed memory keeps it from being returned by itself

    def measured(megabytes: int) -> float:
        with Stopwatch("cpu") as watch:
            parts = [torch.zeros(25_000) for _ in range(10 * megabytes)]  # 0.1 MB each
            kept.append(parts.pop())
            del parts
        return watch.megabytes

    before, much, after = measured(1), measured(400), measured(1)
    assert much - before > 350 and after - before < 50
