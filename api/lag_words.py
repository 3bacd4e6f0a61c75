"""Numbers of a lag report as people read them: on the terminal and on the page alike."""


def number(value: int | None) -> str:
    """With thousands apart."""
    return "-" if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    """Short, and never more exact than it is useful; ``-`` when there is none, or it is not known."""
    if seconds is None:
        return "-"
    if seconds <= 0:
        return "0 s"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3_600:.0f} h"
    return f"{seconds / 86_400:,.0f} days"


def per_second(rate: float | None) -> str:
    """Records per second."""
    if rate is None:
        return "-"
    return f"{rate:,.0f}/s" if rate >= 10 or rate == 0 else f"{rate:.1f}/s"
