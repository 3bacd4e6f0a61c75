"""How fast a reader reads and its log grows, and when they meet. Pure."""

from collections.abc import Iterable, Sequence

import msgspec

from projections.lag.states import Sample


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """Records per second, over the samples' window; ``eta_s`` None: never at this pace."""

    rate: float
    arrival: float
    eta_s: float | None

    @property
    def slope(self) -> float:
        """By how many records per second the lag grows."""
        return self.arrival - self.rate


def trend(window: Sequence[Sample], window_s: float) -> Trend | None:
    """Of one partition; None with fewer than two samples that have an offset."""
    if not window:
        return None
    now = window[-1]
    seen = [one for one in window if one.next_offset is not None and now.at_s - one.at_s <= window_s]
    if len(seen) < 2 or seen[-1] is not now:
        return None
    first, took_s = seen[0], now.at_s - seen[0].at_s
    if took_s <= 0 or now.next_offset is None or first.next_offset is None:
        return None
    rate = max(0, now.next_offset - first.next_offset) / took_s
    arrival = max(0, now.end - first.end) / took_s
    return Trend(rate=rate, arrival=arrival, eta_s=eta_s(now.records, rate, arrival))


def eta_s(records: int, rate: float, arrival: float) -> float | None:
    """Seconds until nothing waits; None: never at this pace."""
    if records == 0:
        return 0.0
    return records / (rate - arrival) if rate > arrival else None


def slowest_eta_s(waiting: Iterable[tuple[int, Trend | None]]) -> float | None:
    """Of a group: that of its slowest partition, not an average. Pairs of (records that wait, trend)."""
    slowest = 0.0
    for records, of in waiting:
        if records == 0:
            continue
        if of is None or of.eta_s is None:
            return None
        slowest = max(slowest, of.eta_s)
    return slowest
