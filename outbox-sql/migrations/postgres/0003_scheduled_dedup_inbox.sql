-- Messages for later, deduplication keys of producers, and the inbox of consumers. Waits at most 3 s for whoever reads
-- the view: where that is not enough, nothing was changed, and it can be run again.
set local lock_timeout = '3s';

-- Written by the application. What is due moves into outbox_message, in the order of due_at and id, where it takes its
-- seq.
create table outbox_scheduled (
    id uuid primary key default gen_random_uuid(),
    due_at timestamptz not null,
    topic text not null check (topic <> ''),
    key text check (key <> ''),
    event_type text not null check (event_type <> ''),
    payload bytea not null,
    content_type text,
    headers jsonb check (jsonb_typeof(headers) = 'object'),
    created_at timestamptz not null default now(),
    dedup_key text
);
create index on outbox_scheduled (due_at, id);

-- Who locks this row moves what is due, for all processes. At "prune_at" somebody deletes what has expired.
create table outbox_mover (
    id int primary key default 1 check (id = 1),
    prune_at timestamptz not null default now()
) with (fillfactor = 50);

insert into outbox_mover default values;

-- The first message of each deduplication key, and how many there were; remembered until it expires.
create table outbox_dedup (
    key text primary key check (key <> ''),
    id uuid not null,
    expires_at timestamptz not null,
    times bigint not null default 1
) with (fillfactor = 90);
create index on outbox_dedup (expires_at);

-- What a consumer has processed.
create table outbox_inbox (
    consumer text not null,
    message_id uuid not null,
    processed_at timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (consumer, message_id)
);
create index on outbox_inbox (expires_at);

create function outbox_schedule(topic text, key text, event_type text, payload text, headers jsonb, deliver_at timestamptz)
returns uuid language sql as $$
    insert into outbox_scheduled (topic, key, event_type, payload, content_type, headers, due_at)
    values ($1, $2, $3, convert_to($4, 'UTF8'), outbox_content_type($4), $5, $6)
    returning id
$$;

-- The classic table. What waits until it is due is not published.
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
from outbox_message m
union all
select s.id, s.event_type, outbox_text(s.payload, s.content_type), s.created_at, null, 0
from outbox_scheduled s;
