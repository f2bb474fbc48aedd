-- What retention and replays need. Waits at most 3 s for whoever reads these tables, so that nobody waits longer
-- behind it: where that is not enough, nothing was changed, and it can be run again.
set local lock_timeout = '3s';

-- The selection of a name that replays: {"from", "to": microseconds since 1970, "topics": patterns, "key", "made": the
-- last number drawn when it was made, "until": its last number, where the selection ends in the past}. What it does not
-- cover counts as settled.
alter table outbox_relay add column replay jsonb;

-- Where retention stands: one row for all processes. Who changes it deletes, all others wait until "next_at".
create table outbox_retention (
    id int primary key default 1 check (id = 1),
    after bigint not null default 0,
    next_at timestamptz not null default now(),
    restarted_at timestamptz not null default timestamptz 'epoch'
) with (fillfactor = 50);

insert into outbox_retention default values;

-- A replay counts for what was enqueued after it was made: until then, others have said when it was published.
create or replace view outbox as
select m.id,
       m.event_type,
       outbox_text(m.payload, m.content_type) as payload,
       m.created_at,
       (select case when bool_and(s.settled) then max(s.at) end
        from (select (m.seq <= r.floor
                      or m.seq <= r.position and r.snapshot is not null and pg_visible_in_snapshot(m.xid, r.snapshot)
                         and not r.unsettled @> m.seq)
                     and not exists (select from outbox_parked p where p.relay = r.relay and p.seq = m.seq)
                     and not exists (select from outbox_dead_letter d
                                     where d.relay = r.relay and d.seq = m.seq and d.id = m.id) as settled,
                     coalesce((select p.at from outbox_progress p where p.relay = r.relay and p.position >= m.seq
                               order by p.position limit 1), r.settled_at) as at
              from outbox_relay r
              where (r.topics = '{}' or exists (
                        select from unnest(r.topics) t
                        where t = m.topic or right(t, 1) = '*' and starts_with(m.topic, left(t, -1))))
                and (r.replay is null
                     or m.seq > (r.replay->>'made')::bigint
                        and coalesce(m.seq <= (r.replay->>'until')::bigint, true)
                        and coalesce(m.created_at >= timestamptz 'epoch'
                                     + (r.replay->>'from')::bigint * interval '1 us', true)
                        and coalesce(m.created_at < timestamptz 'epoch'
                                     + (r.replay->>'to')::bigint * interval '1 us', true)
                        and (r.replay->>'key' is null or m.key = r.replay->>'key')
                        and (r.replay->'topics' is null or exists (
                                select from jsonb_array_elements_text(r.replay->'topics') t
                                where t = m.topic or right(t, 1) = '*' and starts_with(m.topic, left(t, -1)))))) s)
           as published_at,
       greatest((select max(p.attempts) from outbox_parked p where p.seq = m.seq),
                (select max(d.attempts) from outbox_dead_letter d where d.seq = m.seq and d.id = m.id), 0) as retry_count
from outbox_message m;
