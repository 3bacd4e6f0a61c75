"""The statements by which orders are carried out. They name no schema: the connection has the generation's as its search path."""

from typing import Final

LOCK: Final = """
select next_offset from checkpoints where topic = %s and partition = %s and epoch = %s for update
"""
BEGUN: Final = """
select aggregate, outcome from carried_out where ordered = %s and topic = %s and partition = %s order by 1
"""
DONE: Final = "update orders set next_order = %s where topic = %s and partition = %s and next_order <= %s"
NAME_AGGREGATES: Final = """
insert into carried_out (ordered, topic, partition, aggregate, "offset", outcome)
select %s, %s, %s, one, -1, 'RUNNING' from unnest(%s::text[]) as one on conflict do nothing
"""
DROPPED_BEFORE: Final = (
    'select "offset" from dropped where topic = %s and partition = %s and "offset" = any(%s)'
)
DROP_LETTERS: Final = """
delete from dead_letters where topic = %s and partition = %s and "offset" = any(%s) returning "offset"
"""
DROP_QUEUED: Final = """
delete from quarantine where topic = %s and partition = %s and "offset" = any(%s)
returning "offset", case when behind is null then aggregate end
"""
SAY_RECORDS: Final = """
insert into carried_out (ordered, topic, partition, aggregate, "offset", outcome, reason)
select %s, %s, %s, '', r."offset", r.outcome, r.reason
from unnest(%s::bigint[], %s::text[], %s::text[]) as r("offset", outcome, reason) on conflict do nothing
"""
QUEUE: Final = """
with running as (
  select c.topic, c.partition, c.aggregate from carried_out c
  where c.ordered = %(ordered)s and c.topic = %(topic)s and c.partition = %(partition)s and c.outcome = 'RUNNING'
), queue as (
  select q."offset", q.append_time, q.key, q.value, q.header_names, q.header_values
  from quarantine q join running using (topic, partition, aggregate)
  order by q."offset" limit %(events)s
), measured as (
  select queue.*, sum(coalesce(octet_length(value), 0)) over (order by "offset") as so_far,
         row_number() over (order by "offset") as place from queue
)
select "offset", append_time, key, value, header_names, header_values from measured
where so_far <= %(bytes)s or place = 1 order by "offset"
"""
FOLDED: Final = 'delete from quarantine where topic = %s and partition = %s and "offset" = any(%s)'
CHANGED: Final = """
update checkpoints set applied_at = clock_timestamp() where topic = %s and partition = %s
"""
FAILS: Final = """
update quarantine set behind = null, reason = %s, trace = %s
where topic = %s and partition = %s and "offset" = %s
"""
WAITS: Final = """
update quarantine set behind = %s, reason = %s, trace = null
where topic = %s and partition = %s and aggregate = %s and "offset" > %s
"""
HEADS: Final = """
update quarantine q set behind = null, reason = %s, trace = null
from (
  select distinct on (q.aggregate) q.aggregate, q."offset" from quarantine q
  join unnest(%s::text[]) as k(aggregate) on k.aggregate = q.aggregate
  where q.topic = %s and q.partition = %s order by q.aggregate, q."offset"
) h
where q.topic = %s and q.partition = %s and q."offset" = h."offset" returning q.aggregate, q."offset"
"""
COUNT: Final = """
select k.aggregate, count(q."offset"), min(q."offset") from unnest(%s::text[]) as k(aggregate)
left join quarantine q on q.topic = %s and q.partition = %s and q.aggregate = k.aggregate group by 1
"""
SAY: Final = """
update carried_out c
set outcome = s.outcome, folded = c.folded + s.folded, waiting = s.waiting, at_fault = s.at_fault, reason = s.reason,
    trace = s.trace, at = clock_timestamp()
from unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[])
  as s(aggregate, outcome, folded, waiting, at_fault, reason, trace)
where c.ordered = %s and c.topic = %s and c.partition = %s and c.aggregate = s.aggregate and c."offset" = -1
"""
