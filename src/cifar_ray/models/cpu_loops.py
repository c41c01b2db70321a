"""Loops over channels-last activations, compiled for the vector units of this machine's CPU.

Values are float32 or float64, or bfloat16, passed as uint16 bits since numpy has no such type and computed in float32.
A row is one row of an image, its W pixels of C channels one after another, so that vectors are full however few
channels there are. The loops release Python's GIL and run on the calling thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_compiled = njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})

NONE = 4
"""In place of a window's winning pixel, 0 to 3 as 2 y + x: none passes its value on, since ReLU zeroes it."""

Index: Any = np.uintp
"""Unsigned: its arithmetic must not go below zero, so loops need no checks for negative indices."""


def _type_widen(_: Any, value: Any) -> Any:
    """The value itself, or a bfloat16's bits as float32."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        if value != types.uint16:
            return arguments[0]
        bits = builder.zext(arguments[0], ir.IntType(32))
        return builder.bitcast(builder.shl(bits, ir.Constant(ir.IntType(32), 16)), ir.FloatType())

    return (types.float32 if value == types.uint16 else value)(value), generate


_widen: Any = intrinsic(_type_widen)


def _type_narrow(_: Any, value: Any, like: Any) -> Any:
    """The value in the type of `like`: itself, or the bits of the nearest bfloat16, ties to even."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        if like != types.uint16:
            return arguments[0]
        word = ir.IntType(32)
        bits = builder.bitcast(arguments[0], word)
        is_odd = builder.and_(builder.lshr(bits, ir.Constant(word, 16)), ir.Constant(word, 1))
        rounded = builder.add(bits, builder.add(is_odd, ir.Constant(word, 0x7FFF)))
        return builder.trunc(builder.lshr(rounded, ir.Constant(word, 16)), ir.IntType(16))

    return like(value, like), generate


_narrow: Any = intrinsic(_type_narrow)


@_compiled
def sum_columns(rows: Any, origin: Any, totals: Any, squares: Any) -> None:
    """Add the rows (R, N), less the (N,) origin, and the squares of that, to (N,) totals."""
    for row in range(len(rows)):
        values = rows[row]
        for i in range(len(totals)):
            value = _widen(values[i]) - origin[i]
            totals[i] += value
            squares[i] += value * value


@_compiled
def pool(rows: Any, scale: Any, shift: Any, num_channels: int, pooled: Any, chosen: Any, winners: Any) -> None:
    """ReLU of the greatest value of `scale x + shift` in each 2x2 window of (R, W C) rows.

    `scale` and `shift` are (W C,). Fills three arrays (R / 2, W C / 2): the values, the x that each came from, and the
    number of its pixel in the window, or `NONE`. NaN counts as greatest.
    """
    length = rows.shape[1]
    greatest, source, place = np.empty(length, scale.dtype), np.empty(length, rows.dtype), np.empty(length, np.uint8)
    num_windows = length // (2 * num_channels)
    for row in range(len(pooled)):
        upper, lower, values, sources, places = rows[2 * row], rows[2 * row + 1], pooled[row], chosen[row], winners[row]
        for i in range(length):
            first, second = scale[i] * _widen(upper[i]) + shift[i], scale[i] * _widen(lower[i]) + shift[i]
            is_second = (second > first) | (second != second)
            greatest[i] = second if is_second else first
            source[i] = lower[i] if is_second else upper[i]
            place[i] = np.uint8(2) if is_second else np.uint8(0)
        for window in range(num_windows):
            start = Index(window) * Index(num_channels)
            for channel in range(num_channels):
                i = start + Index(channel)
                left, right = i + start, i + start + Index(num_channels)
                first, second = greatest[left], greatest[right]
                is_second = (second > first) | (second != second)
                value = second if is_second else first
                is_held = value <= np.float32(0)
                values[i] = _narrow(np.float32(0) if is_held else value, values[i])
                sources[i] = source[right] if is_second else source[left]
                winner = np.uint8(place[right] | np.uint8(1)) if is_second else place[left]
                places[i] = np.uint8(NONE) if is_held else winner


@_compiled
def sum_gradients(gradients: Any, chosen: Any, winners: Any, totals: Any, products: Any) -> None:
    """Add the gradients (R, N) that ReLU lets through, and their products with the x they go to, to (N,) totals."""
    for row in range(len(gradients)):
        values, sources, places = gradients[row], chosen[row], winners[row]
        for i in range(len(totals)):
            passed = np.float32(0) if places[i] == NONE else _widen(values[i])
            totals[i] += passed
            products[i] += passed * _widen(sources[i])


@_compiled
def unpool(gradients: Any, winners: Any, scale: Any, slope: Any, shift: Any, num_channels: int, rows: Any) -> None:
    """Overwrite each x with its gradient: `slope x + shift`, plus `scale` times its window's if x was passed on.

    `gradients` and `winners` are (R / 2, W C / 2), `rows` (R, W C), the coefficients (W C,).
    """
    length = rows.shape[1]
    passed, place = np.empty(length, scale.dtype), np.empty(length, np.uint8)
    num_windows = length // (2 * num_channels)
    for row in range(len(gradients)):
        given, places = gradients[row], winners[row]
        for window in range(num_windows):
            start = Index(window) * Index(num_channels)
            for channel in range(num_channels):
                i = start + Index(channel)
                left, right = i + start, i + start + Index(num_channels)
                value, winner = _widen(given[i]), places[i]
                is_right = (winner & np.uint8(1)) != 0
                passed[left] = np.float32(0) if is_right else value
                passed[right] = value if is_right else np.float32(0)
                place[left] = winner
                place[right] = winner
        for half in range(2):
            values = rows[2 * row + half]
            least = np.uint8(2 * half)
            for i in range(length):
                gradient = passed[i] if (place[i] & np.uint8(6)) == least else np.float32(0)
                values[i] = _narrow(scale[i] * gradient + (slope[i] * _widen(values[i]) + shift[i]), values[i])
