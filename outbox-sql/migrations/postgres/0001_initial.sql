-- The outbox on Postgres 14 or newer. Every name that begins with "outbox" is replaced by the configured one.
create table outbox_schema (
    version int primary key,
    applied_at timestamptz not null default now()
);

-- Written once by the application, never changed. xid stands before seq: defaults are evaluated in this order, and a
-- writer has to own its transaction id before it draws a sequence number.
create table outbox_message (
    xid xid8 not null default pg_current_xact_id(),
    seq bigint generated always as identity primary key,
    id uuid not null default gen_random_uuid(),
    topic text not null check (topic <> ''),
    key text check (key <> ''),
    event_type text not null check (event_type <> ''),
    payload bytea not null,
    content_type text,
    headers jsonb check (jsonb_typeof(headers) = 'object'),
    created_at timestamptz not null default now()
);

-- One row a relay name: its lease and its cursor.
create table outbox_relay (
    relay text primary key,
    owner uuid,
    epoch bigint not null default 0,
    expires_at timestamptz,
    lease interval not null default '30 s',
    topics text[] not null default '{}',
    position bigint not null default 0,
    floor bigint not null default 0,
    snapshot pg_snapshot,
    unsettled int8multirange not null default '{}',
    settled_at timestamptz
) with (fillfactor = 50);

-- Emptied by a crash, a failover and a physical restore: then the relay's memory is older than the database.
create unlogged table outbox_incarnation (
    relay text primary key,
    token uuid not null,
    server timestamptz not null,
    tab oid not null,
    filenode oid not null
);

create table outbox_parked (
    relay text not null,
    seq bigint not null,
    key text,
    attempts int not null,
    next_attempt_at timestamptz not null,
    last_error text,
    primary key (relay, seq)
);

create table outbox_dead_letter (
    relay text not null,
    seq bigint not null,
    id uuid not null,
    topic text not null,
    key text,
    event_type text not null,
    payload bytea not null,
    content_type text,
    headers jsonb,
    created_at timestamptz not null,
    reason text not null,
    attempts int not null,
    history text,
    died_at timestamptz not null default now(),
    primary key (relay, seq, id)
);

-- At "at" everything handed out up to "position" was settled. At most one row a second and relay.
create table outbox_progress (
    relay text not null,
    position bigint not null,
    at timestamptz not null,
    primary key (relay, position)
);

create function outbox_content_type(payload text) returns text language plpgsql immutable as $$
begin
    perform payload::json;
    return 'application/json';
exception when others then
    return 'text/plain; charset=utf-8';
end $$;

create function outbox_text(payload bytea, content_type text) returns text language plpgsql immutable as $$
begin
    if content_type ~* '^(text/|application/([a-z0-9.-]+\+)?json)' then
        return convert_from(payload, 'UTF8');
    end if;
    return '\x' || encode(payload, 'hex');
exception when others then
    return '\x' || encode(payload, 'hex');
end $$;

create function outbox_enqueue(topic text, key text, event_type text, payload text, headers jsonb default null)
returns uuid language sql as $$
    insert into outbox_message (topic, key, event_type, payload, content_type, headers)
    values ($1, $2, $3, convert_to($4, 'UTF8'), outbox_content_type($4), $5)
    returning id
$$;

-- The classic table. A relay counts for the topics that it covers.
create view outbox as
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
              where r.topics = '{}' or exists (
                  select from unnest(r.topics) t
                  where t = m.topic or right(t, 1) = '*' and starts_with(m.topic, left(t, -1)))) s) as published_at,
       greatest((select max(p.attempts) from outbox_parked p where p.seq = m.seq),
                (select max(d.attempts) from outbox_dead_letter d where d.seq = m.seq and d.id = m.id), 0) as retry_count
from outbox_message m;

create function outbox_insert() returns trigger language plpgsql as $$
begin
    if new.published_at is not null or coalesce(new.retry_count, 0) <> 0 then
        raise exception 'published_at and retry_count are set by the relay: leave them out';
    end if;
    new.id := coalesce(new.id, gen_random_uuid());
    new.created_at := coalesce(new.created_at, now());
    new.retry_count := 0;
    insert into outbox_message (id, topic, event_type, payload, content_type, created_at)
    values (new.id, new.event_type, new.event_type, convert_to(new.payload, 'UTF8'),
            outbox_content_type(new.payload), new.created_at);
    return new;
end $$;

create trigger insert_message instead of insert on outbox
for each row execute function outbox_insert();
