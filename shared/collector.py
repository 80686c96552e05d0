"""Python's garbage collector, as every process of ours has it."""

import gc


def tune_collector() -> None:
    """Keep the collector away from what lives as long as the process.

    Source: docs/performance.md: +14 to +29 % on both hot paths.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 1_000)
