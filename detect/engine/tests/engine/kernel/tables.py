#!/usr/bin/env python3
"""Prints `tables.txt`: tails of the negative binomial and the beta-binomial to 20 digits.

Sums of exact term ratios in fixed point, from a first term that mpmath's loggamma gives: another way than the engine's,
which has a continued fraction and Loader's pieces. The cases are drawn from a fixed seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import mpmath
from mpmath import mp, mpf

SEED = 20
# Terms after which a sum is not worth its time; the other side is summed instead, or the case is left out.
TERMS = 50_000
Ratio = Callable[[int], tuple[int, int]]


def series(first: int, step: int, last: int, bits: int, ratio: Ratio) -> mpf | None:
    """1 plus the products of ratios of neighbouring terms from `first` towards `last`, as numerator and denominator."""
    one = 1 << bits
    total = term = one
    count = 0
    at = first
    while at != last and term > 0:
        numerator, denominator = ratio(at)
        term = term * numerator // denominator
        total += term
        at += step
        count += 1
        if count > TERMS:
            return None
    with mp.workprec(bits + 20):
        return mpf(total) / one


def exact(value: float, bits: int) -> int:
    """A double as an integer of units of 2**-bits."""
    numerator, denominator = value.as_integer_ratio()
    return (numerator << bits) // denominator


def nb(x: int, r: float, mu: float) -> mpf | None:
    """ln P(X >= x), or None where both sums are too long."""
    if x == 0:
        return mpf(0)

    def ln_pmf(k: int) -> mpf:
        rr, mm = mpf(r), mpf(mu)
        return (
            mp.loggamma(k + rr) - mp.loggamma(k + 1) - mp.loggamma(rr)
            + rr * mp.log(rr / (rr + mm)) + k * mp.log(mm / (rr + mm))
        )

    def side(bits: int, is_upper: bool) -> mpf | None:
        shape, whole = exact(r, bits), exact(r, bits) + exact(mu, bits)
        mean, one = exact(mu, bits), 1 << bits
        if is_upper:
            total = series(x, 1, -1, bits, lambda k: (((k << bits) + shape) * mean, (k + 1) * one * whole))
        else:
            total = series(x - 1, -1, 0, bits, lambda k: (k * one * whole, (((k - 1) << bits) + shape) * mean))
        return None if total is None else ln_pmf(x if is_upper else x - 1) + mp.log(total)

    if x > mu:
        with mp.workdps(50):
            upper = side(200, True)
        if upper is not None:
            return upper
    # What is left of 1 far above the mean may be as little as 1e-300.
    digits, bits = (420, 1_400) if x > mu else (60, 200)
    with mp.workdps(digits):
        lower = side(bits, False)
        return None if lower is None else mp.log(-mp.expm1(lower))


def betabin(k: int, n: int, a: float, b: float) -> mpf | None:
    """ln P(K >= k)."""
    if k == 0:
        return mpf(0)

    def ln_pmf(j: int) -> mpf:
        aa, bb = mpf(a), mpf(b)

        def ln_beta(x: mpf, y: mpf) -> mpf:
            return mp.loggamma(x) + mp.loggamma(y) - mp.loggamma(x + y)

        return -mp.log(n + 1) - ln_beta(n - j + mpf(1), j + mpf(1)) + ln_beta(j + aa, n - j + bb) - ln_beta(aa, bb)

    bits = 200
    one, sa, sb = 1 << bits, exact(a, bits), exact(b, bits)
    with mp.workdps(60):
        if k > n * mpf(a) / (mpf(a) + mpf(b)):
            total = series(
                k, 1, n, bits, lambda j: ((n - j) * ((j << bits) + sa), (j + 1) * (((n - j - 1) << bits) + sb))
            )
            return None if total is None else ln_pmf(k) + mp.log(total)
        total = series(
            k - 1, -1, 0, bits, lambda j: (j * (((n - j) << bits) + sb), (n - j + 1) * (((j - 1) << bits) + sa))
        )
        if total is None:
            return None
        return mp.log(-mp.expm1(ln_pmf(k - 1) + mp.log(total)))


def between(source: random.Random, bottom: float, top: float) -> float:
    """Log-uniform, rounded to a few digits so that the table stays short."""
    return float(f"{bottom * (top / bottom) ** source.random():.4g}")


def show(kind: str, arguments: list[int | float], value: mpf | None) -> int:
    """Prints one row unless there is no value or a trivial one; says whether."""
    if not value:
        return 0
    print(kind, *(repr(argument) for argument in arguments), mpmath.nstr(value, 20, min_fixed=-1, max_fixed=1))
    return 1


def main() -> None:
    """Prints the table."""
    source = random.Random(SEED)
    print("# Made by tables.py: nb x r mu ln P(X >= x); betabin k n a b ln P(K >= k).")
    rows = 0
    while rows < 140:
        top = 1e6 if rows >= 110 else 1e5
        r, mu = between(source, 1e-3, top), between(source, 1e-4, top)
        spread = (mu + mu * mu / r) ** 0.5
        # Far above, near, and below the mean.
        away = source.choice([-1, 1, 1, 1]) * between(source, 1e-2, 2_000)
        x = min(int(top), max(0, round(mu + away * spread)))
        rows += show("nb", [x, r, mu], nb(x, r, mu))
    # Corners: one event where none is expected, a Poisson, a mean on the observation.
    for x, r, mu in [(1, 1e-3, 1e-9), (3, 0.5, 1e-9), (1, 1e9, 1.0), (400, 1e9, 100.0), (1000, 7.0, 1000.0)]:
        show("nb", [x, r, mu], nb(x, r, mu))
    rows = 0
    while rows < 90:
        top = 1e6 if rows >= 75 else 1e5
        n = round(between(source, 1, top))
        a, b = between(source, 1e-3, 1e5), between(source, 1e-3, 1e5)
        share = a / (a + b)
        spread = (n * share * (1 - share) * (a + b + n) / (a + b + 1)) ** 0.5
        away = source.choice([-1, 1, 1, 1]) * between(source, 1e-2, 400)
        k = min(n, max(0, round(n * share + away * spread)))
        rows += show("betabin", [k, n, a, b], betabin(k, n, a, b))
    for k, n, a, b in [(1, 1, 1.0, 1.0), (100_000, 100_000, 2.0, 3.0), (900, 1000, 1e-3, 1e-3)]:
        show("betabin", [k, n, a, b], betabin(k, n, a, b))


if __name__ == "__main__":
    main()
