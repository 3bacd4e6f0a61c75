"""One token bucket for the whole cluster, in the database: one token is one repository request (DESIGN section 6)."""

from typing import Final, Protocol

import msgspec
from sqlalchemy import Engine, text

NAME: Final = "recording"
LOOKS_S: Final = 0.5
"""The bucket holds at least what comes in this time, so that looking a few times in a second wastes nothing."""

_FILL: Final = """
select least(:capacity, tokens + :rate * greatest(0, extract(epoch from clock_timestamp() - updated_at))) as tokens,
       clock_timestamp() as at
from runtime.token_buckets where name = :name
"""
_AVAILABLE: Final = f"select floor(tokens)::int from ({_FILL}) filled"
_TAKE: Final = f"""
with filled as materialized ({_FILL} for update),
taken as (
  update runtime.token_buckets
  set tokens = filled.tokens - least(:wanted, floor(filled.tokens)), updated_at = filled.at,
      capacity = :capacity, refill_per_s = :rate
  from filled where name = :name
)
select least(:wanted, floor(tokens))::int from filled
"""
"""One statement: it fills by the database's clock, takes what there is of what is wanted, and says how much it was."""
_BEGIN: Final = """
insert into runtime.token_buckets (name, tokens, capacity, refill_per_s, updated_at)
values (:name, :capacity, :capacity, :rate, clock_timestamp()) on conflict do nothing
"""


class Rate(msgspec.Struct, frozen=True):
    """``per_s`` tokens come each second; after a quiet time ``burst`` may go at once."""

    per_s: float
    burst: float

    @property
    def capacity(self) -> float:
        return max(1.0, self.burst, self.per_s * LOOKS_S)


class Bucket(Protocol):
    """What the dispatcher needs of a token bucket."""

    def available(self, rate: Rate) -> int: ...
    def take(self, wanted: int, rate: Rate) -> int: ...


class TokenBucket:
    """The bucket of this name in ``runtime.token_buckets``. Threads may share it; the rate comes with every call."""

    def __init__(self, engine: Engine, name: str = NAME) -> None:
        self._engine = engine
        self._name = name

    def available(self, rate: Rate) -> int:
        """How many tokens there are now; a bucket that was never used is full."""
        with self._engine.connect() as connection:
            found = connection.scalar(text(_AVAILABLE), self._parameters(rate))
        return int(rate.capacity) if found is None else int(found)

    def take(self, wanted: int, rate: Rate) -> int:
        """Take up to ``wanted`` tokens; how many they were."""
        with self._engine.begin() as connection:
            parameters = {**self._parameters(rate), "wanted": wanted}
            found = connection.scalar(text(_TAKE), parameters)
            if found is None:
                connection.execute(text(_BEGIN), self._parameters(rate))
                found = connection.scalar(text(_TAKE), parameters)
        return int(found or 0)

    def _parameters(self, rate: Rate) -> dict[str, object]:
        return {"name": self._name, "capacity": rate.capacity, "rate": rate.per_s}
