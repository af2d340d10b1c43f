"""The order in which a milestone references blocks; nodes compute it and archives check it.

From each parent in ascending order, depth first, parents before child, each block once, stopping where an earlier
milestone has been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


def white_flag_order(parents: Iterable[bytes], parents_of: Callable[[bytes], Sequence[bytes] | None]) -> list[bytes]:
    """Ids newly referenced through `parents`. `parents_of` a block that an earlier milestone references is None."""
    order: list[bytes] = []
    seen: set[bytes] = set()
    for start in sorted(parents):
        stack = [(start, False)]
        while stack:
            id, is_ready = stack.pop()
            if is_ready:
                order.append(id)
                continue
            if id in seen:
                continue
            seen.add(id)
            found = parents_of(id)
            if found is not None:
                stack.append((id, True))
                # Parents are ascending in a block and a stack reverses, so the first parent is visited first.
                stack.extend((parent, False) for parent in reversed(found))
    return order
