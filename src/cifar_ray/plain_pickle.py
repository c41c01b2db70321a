"""Refuses pickles that would take far more memory or time than their size suggests, before they are loaded."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Collection

MAX_TUPLES = 20_000
"""Python hashes nested tuples recursively, and some hundred thousand of them crash the process."""
_TEXTS = {
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_NAMES = {"GLOBAL", "STACK_GLOBAL"}
_MEMO_WRITES = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}


def check_pickle(content: bytes, may_repeat: Collection[str] = ()) -> None:
    """Raise UnpicklingError for what would expand beyond its size; what it may call and make is the caller's to check.

    Only texts, names of classes and results of the operations `may_repeat` may be referred to more than once. With
    containers, a few bytes each could double the size, again and again, for whatever traverses, hashes or prints it.
    """
    repeatable = _TEXTS | _NAMES | set(may_repeat)
    memo: dict[int, bool] = {}
    is_repeatable, num_tuples = False, 0
    for operation, argument, _ in pickletools.genops(content):
        name = operation.name
        if name in _MEMO_WRITES:
            index = len(memo) if argument is None else argument
            # the memo is an array, which grows to any index that is written to
            if index > len(content):
                raise pickle.UnpicklingError(f"it notes a value under {index}, which it has no need of")
            memo[index] = is_repeatable
        elif name == "DUP" or (name.endswith("GET") and not memo.get(argument or 0)):
            raise pickle.UnpicklingError("it has a list or the like once and means it twice, which it has no need of")
        else:
            num_tuples += name.startswith("TUPLE")
            is_repeatable = name in repeatable
    if num_tuples > MAX_TUPLES:
        raise pickle.UnpicklingError(f"it has {num_tuples:,} tuples, more than it has need of")
