-- The outbox on SQLite 3.42 or newer. Every name that begins with "outbox" is replaced by the configured one.
-- Times are microseconds since 1970, ids are the 16 bytes of a UUID.
create table outbox_schema (
    version integer primary key,
    applied_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer))
);

-- Written once by the application, never changed. One writer at a time: the order of seq is the order of commits.
create table outbox_message (
    seq integer primary key autoincrement,
    id blob not null default (randomblob(16)) check (length(id) = 16),
    topic text not null check (topic <> ''),
    key text check (key <> ''),
    event_type text not null check (event_type <> ''),
    payload blob not null,
    content_type text,
    headers text check (json_type(headers) = 'object'),
    created_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer))
);

-- One row a relay name: its lease and its cursor. "unsettled" is a list of [first, last], "topics" a list of patterns.
create table outbox_relay (
    relay text primary key,
    owner text,
    epoch integer not null default 0,
    token text,
    expires_at integer,
    lease integer not null default 30000,
    topics text not null default '[]',
    position integer not null default 0,
    floor integer not null default 0,
    unsettled text not null default '[]',
    settled_at integer
) without rowid;

create table outbox_parked (
    relay text not null,
    seq integer not null,
    key text,
    attempts integer not null,
    next_attempt_at integer not null,
    last_error text,
    primary key (relay, seq)
) without rowid;

create table outbox_dead_letter (
    relay text not null,
    seq integer not null,
    id blob not null,
    topic text not null,
    key text,
    event_type text not null,
    payload blob not null,
    content_type text,
    headers text,
    created_at integer not null,
    reason text not null,
    attempts integer not null,
    history text,
    died_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer)),
    primary key (relay, seq, id)
);

-- At "at" everything handed out up to "position" was settled. At most one row a second and relay.
create table outbox_progress (
    relay text not null,
    position integer not null,
    at integer not null,
    primary key (relay, position)
) without rowid;

-- The classic table. A relay counts for the topics that it covers.
create view outbox as
select lower(substr(hex(m.id), 1, 8) || '-' || substr(hex(m.id), 9, 4) || '-' || substr(hex(m.id), 13, 4) || '-'
             || substr(hex(m.id), 17, 4) || '-' || substr(hex(m.id), 21)) as id,
       m.event_type as event_type,
       case when m.content_type like 'text/%' or m.content_type like 'application/%json%'
            then cast(m.payload as text) else '\x' || lower(hex(m.payload)) end as payload,
       strftime('%Y-%m-%d %H:%M:%f', m.created_at / 1e6, 'unixepoch') as created_at,
       (select case when min(s.settled) then strftime('%Y-%m-%d %H:%M:%f', max(s.at) / 1e6, 'unixepoch') end
        from (select (m.seq <= r.floor
                      or m.seq <= r.position and not exists (
                          select 1 from json_each(r.unsettled) u
                          where m.seq between json_extract(u.value, '$[0]') and json_extract(u.value, '$[1]')))
                     and not exists (select 1 from outbox_parked p where p.relay = r.relay and p.seq = m.seq)
                     and not exists (select 1 from outbox_dead_letter d
                                     where d.relay = r.relay and d.seq = m.seq and d.id = m.id) as settled,
                     coalesce((select p.at from outbox_progress p where p.relay = r.relay and p.position >= m.seq
                               order by p.position limit 1), r.settled_at) as at
              from outbox_relay r
              where r.topics = '[]' or exists (
                  select 1 from json_each(r.topics) t
                  where t.value = m.topic
                     or substr(t.value, -1) = '*' and substr(m.topic, 1, length(t.value) - 1) = rtrim(t.value, '*')
              )) s) as published_at,
       max(coalesce((select max(p.attempts) from outbox_parked p where p.seq = m.seq), 0),
           coalesce((select max(d.attempts) from outbox_dead_letter d where d.seq = m.seq and d.id = m.id), 0))
           as retry_count
from outbox_message m;

create trigger outbox_insert instead of insert on outbox
begin
    select raise(abort, 'published_at and retry_count are set by the relay: leave them out')
    where new.published_at is not null or coalesce(new.retry_count, 0) <> 0;
    insert into outbox_message (id, topic, event_type, payload, content_type, created_at)
    values (coalesce(unhex(replace(new.id, '-', '')), randomblob(16)),
            new.event_type,
            new.event_type,
            cast(new.payload as blob),
            case when json_valid(new.payload) then 'application/json' else 'text/plain; charset=utf-8' end,
            cast(coalesce(unixepoch(new.created_at, 'subsec'), unixepoch('subsec')) * 1000000 as integer));
end;
