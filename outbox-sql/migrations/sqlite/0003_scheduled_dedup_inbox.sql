-- Messages for later, deduplication keys of producers, and the inbox of consumers.

-- Written by the application. What is due moves into outbox_message, in the order of due_at and id, where it takes its
-- seq.
create table outbox_scheduled (
    id blob not null primary key default (randomblob(16)) check (length(id) = 16),
    due_at integer not null,
    topic text not null check (topic <> ''),
    key text check (key <> ''),
    event_type text not null check (event_type <> ''),
    payload blob not null,
    content_type text,
    headers text check (json_type(headers) = 'object'),
    created_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer)),
    dedup_key text
);
create index outbox_scheduled_due on outbox_scheduled (due_at, id);

-- At "prune_at" somebody deletes what has expired.
create table outbox_mover (
    id integer primary key default 1 check (id = 1),
    prune_at integer not null default 0
);

insert into outbox_mover default values;

-- The first message of each deduplication key, and how many there were; remembered until it expires.
create table outbox_dedup (
    key text not null primary key check (key <> ''),
    id blob not null,
    expires_at integer not null,
    times integer not null default 1
) without rowid;
create index outbox_dedup_expires on outbox_dedup (expires_at);

-- What a consumer has processed.
create table outbox_inbox (
    consumer text not null,
    message_id blob not null,
    processed_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer)),
    expires_at integer not null,
    primary key (consumer, message_id)
) without rowid;
create index outbox_inbox_expires on outbox_inbox (expires_at);

-- The classic table. What waits until it is due is not published. A view takes its trigger along, so both are made
-- again.
drop view outbox;
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
              where (r.topics = '[]' or exists (
                        select 1 from json_each(r.topics) t
                        where t.value = m.topic
                           or substr(t.value, -1) = '*' and substr(m.topic, 1, length(t.value) - 1) = rtrim(t.value, '*')))
                and (r.replay is null
                     or m.seq > json_extract(r.replay, '$.made')
                        and coalesce(m.seq <= json_extract(r.replay, '$.until'), 1)
                        and coalesce(m.created_at >= json_extract(r.replay, '$.from'), 1)
                        and coalesce(m.created_at < json_extract(r.replay, '$.to'), 1)
                        and (json_extract(r.replay, '$.key') is null or json_extract(r.replay, '$.key') = m.key)
                        and (json_extract(r.replay, '$.topics') is null or exists (
                                select 1 from json_each(r.replay, '$.topics') t
                                where t.value = m.topic
                                   or substr(t.value, -1) = '*'
                                      and substr(m.topic, 1, length(t.value) - 1) = rtrim(t.value, '*'))))
              ) s) as published_at,
       max(coalesce((select max(p.attempts) from outbox_parked p where p.seq = m.seq), 0),
           coalesce((select max(d.attempts) from outbox_dead_letter d where d.seq = m.seq and d.id = m.id), 0))
           as retry_count
from outbox_message m
union all
select lower(substr(hex(s.id), 1, 8) || '-' || substr(hex(s.id), 9, 4) || '-' || substr(hex(s.id), 13, 4) || '-'
             || substr(hex(s.id), 17, 4) || '-' || substr(hex(s.id), 21)),
       s.event_type,
       case when s.content_type like 'text/%' or s.content_type like 'application/%json%'
            then cast(s.payload as text) else '\x' || lower(hex(s.payload)) end,
       strftime('%Y-%m-%d %H:%M:%f', s.created_at / 1e6, 'unixepoch'),
       null,
       0
from outbox_scheduled s;

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
