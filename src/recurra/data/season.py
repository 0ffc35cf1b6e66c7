"""Season lengths in steps, found from the frequency and from the rows of many series together."""

from __future__ import annotations

import numpy as np

from recurra.data.calendar import split_frequency

_USUAL = {  # seasons of a frequency in hours: the day, the week, the year
    "s": (1 / 60, 1.0, 24.0),
    "m": (1.0, 24.0, 168.0),
    "h": (24.0, 168.0),
    "d": (168.0, 8766.0),
    "w": (8766.0,),
}
_HOURS = {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0, "w": 168.0}
_COUNTED = {"mo": (12, 3), "q": (4,), "y": (), "bd": (5, 261)}

SERIES = 200
"""At most so many series are looked at."""
STEPS = 4096
"""At most so many last steps of each."""
WORTH = 0.05
"""What is left of a series' variance, once a season is subtracted, must be this share for a further search."""


def usual_seasons(frequency: str | None) -> list[int]:
    """Season lengths in steps that a frequency suggests.

    Example:
        >>> usual_seasons("1h"), usual_seasons("15m"), usual_seasons("1mo"), usual_seasons("1d")
        ([24, 168], [4, 96, 672], [12, 3], [7, 365])
    """
    if frequency is None:
        return []
    count, unit = split_frequency(frequency)
    if unit in _COUNTED:
        exact = [season / count for season in _COUNTED[unit]]
    elif unit in _USUAL:
        exact = [hours / (_HOURS[unit] * count) for hours in _USUAL[unit]]
    else:
        return []
    lengths = [int(length) for length in exact if length >= 2 and (length > 50 or abs(length - round(length)) < 1e-9)]
    return list(dict.fromkeys(lengths))


def autocorrelation(series: list[np.ndarray], most_lags: int) -> tuple[np.ndarray, np.ndarray]:
    """Autocorrelation of detrended series, pooled over them.

        r_k = sum over series of sum_t z_t z_{t+k} / number of pairs,   z of mean 0 and variance 1 a series

    Args:
        series: float64 (steps,) each, NaN is missing.
        most_lags: the longest lag.

    Returns:
        r (most_lags+1,) and the number of pairs behind each lag; r is 0 where there is no pair.
    """
    total, pairs = np.zeros(most_lags + 1), np.zeros(most_lags + 1)
    for part in series:
        seen = ~np.isnan(part)
        z = np.where(seen, part, 0.0)
        size = 1 << int(2 * len(part) - 1).bit_length()
        lags = min(most_lags + 1, len(part))
        for signal, into in ((z / np.sqrt((z**2).sum() / seen.sum()), total), (seen.astype(np.float64), pairs)):
            spectrum = np.fft.rfft(signal, size)
            into[:lags] += np.fft.irfft(spectrum * spectrum.conj(), size)[:lags]
    pairs = np.rint(pairs)
    return np.divide(total, pairs, out=np.zeros_like(total), where=pairs > 0), pairs


def _chosen(values: np.ndarray, offsets: np.ndarray) -> list[np.ndarray]:
    """Up to 200 series spread over all, without their straight lines; short and constant ones are left out."""
    n = len(offsets) - 1
    result = []
    for i in np.unique(np.linspace(0, n - 1, min(n, SERIES)).astype(np.int64)):
        part = values[offsets[i] : offsets[i + 1]][-STEPS:]
        seen = ~np.isnan(part)
        if seen.sum() < 8:
            continue
        t = np.arange(len(part)) - np.arange(len(part))[seen].mean()
        y = part - part[seen].mean()
        y = y - t * ((t[seen] @ y[seen]) / (t[seen] @ t[seen]))
        if (y[seen] ** 2).mean() > 1e-20 * float(np.abs(part[seen]).max()) ** 2:
            result.append(y)
    return result


def _without_season(part: np.ndarray, length: int) -> np.ndarray:
    """A series less its mean profile of that season."""
    phase = np.arange(len(part)) % length
    seen = ~np.isnan(part)
    count = np.bincount(phase[seen], minlength=length)
    profile = np.bincount(phase[seen], part[seen], minlength=length) / np.maximum(count, 1)
    return part - profile[phase]


def find_seasons(
    values: np.ndarray, offsets: np.ndarray, frequency: str | None = None, *, most: int = 3, longest: int | None = None
) -> list[int]:
    """Season lengths in steps, the strongest first; an empty list when there is none.

    The autocorrelation of the detrended series, pooled over them, shows a season as a peak after a valley. The
    strongest is taken, its mean profile is subtracted, and the rest is searched again, so that a week is found beside
    the day that it repeats. The usual lengths of the frequency (24 and 168 for hours) need less to be believed.

    Args:
        values: float64 (rows,), NaN is missing: one target of many series.
        offsets: int64 (n+1,): ranges of the series.
        frequency: the schema's frequency ("1h"), or None.
        most: at most so many lengths.
        longest: the longest length to look for; half of the longest series when None.

    Example:
        >>> t = np.arange(400)
        >>> find_seasons(np.sin(2 * np.pi * t / 12), np.array([0, 400]))
        [12]
    """
    series = _chosen(np.asarray(values, dtype=np.float64).ravel(), offsets)
    if not series:
        return []
    steps = max(len(part) for part in series)
    top = min(longest or steps // 2, steps // 2)
    usual = [m for m in usual_seasons(frequency) if m <= top]
    first, pairs = autocorrelation(series, top + 1)
    r = first
    powers = [float(np.nanmean(part**2)) for part in series]
    found: list[int] = []
    for _ in range(most):
        lag = _strongest(r, pairs, usual, top, found)
        if lag is None:
            break
        found.append(lag)
        left = [(_without_season(part, lag), power) for part, power in zip(series, powers, strict=True)]
        left = [(part, power) for part, power in left if np.nanmean(part**2) > WORTH * power]
        if not left:
            break
        series, powers = [part for part, _ in left], [power for _, power in left]
        r, pairs = autocorrelation(series, top + 1)
    if found:  # a usual season inside a found one (the day inside the week) went away with its profile
        found += [m for m in usual if m not in found and _is_peak(first, m) and first[m] > 0.3]
    return sorted(dict.fromkeys(found), key=lambda lag: -first[lag])[:most]


def _is_peak(r: np.ndarray, lag: int) -> bool:
    return bool(r[lag] >= r[lag - 1] and r[lag] >= r[lag + 1] and _rise(r, lag) > 0.1)


def _rise(r: np.ndarray, lag: int) -> float:
    """How far a lag stands above the valley before it."""
    return float(r[lag] - r[max(lag // 2, 1) : lag].min()) if lag > 1 else 0.0


def _stands_out(r: np.ndarray, lag: int, base: int, rise: float) -> bool:
    """Whether a multiple of a found season is a peak among its multiples, after a valley (the week among the days)."""
    comb = r[base : lag + base + 1 : base]
    i = lag // base - 1
    ahead = comb[i + 1] if i + 1 < len(comb) else -1.0
    return bool(i > 0 and comb[i] > max(comb[i - 1], ahead) and comb[i] - comb[:i].min() > rise)


def _strongest(r: np.ndarray, pairs: np.ndarray, usual: list[int], top: int, found: list[int]) -> int | None:
    noise = 1.0 / np.sqrt(np.maximum(pairs, 1.0))
    believed: dict[int, float] = {}
    for lag in range(2, top + 1):
        if pairs[lag] < 8 or any(abs(lag - k) <= max(1, 0.05 * k) for k in found):
            continue
        listed = lag in usual
        base = [k for k in found if lag > k and min(lag % k, k - lag % k) <= 1]
        if base and not listed and (lag % max(base) or lag > 12 * max(base)):
            continue  # beside a multiple of a season, or so far a multiple that chance makes a peak
        enough = max(0.1 if listed or base else 0.25, (3.0 if listed else 5.0) * noise[lag])
        if base and lag % max(base) == 0:
            clear = _stands_out(r, lag, max(base), 0.05 if listed else 0.1)
        else:
            clear = _rise(r, lag) > 0.05 if listed else _is_peak(r, lag)
        if clear and r[lag] > enough:
            believed[lag] = float(r[lag]) + (0.05 if listed else 0.0)
    if not believed:
        return None
    best = max(believed, key=lambda lag: believed[lag])
    # Multiples of a season are as strong as it is: take the shortest that the strongest is a multiple of.
    for lag in sorted(believed):
        whole = max(round(best / lag), 1)
        if abs(best - whole * lag) <= whole / 2 and believed[lag] >= 0.85 * believed[best]:
            return lag
    return best
