-- Messages for later, deduplication keys of producers, and the inbox of consumers. Times as datetime are UTC.

-- Written by the application. What is due moves into outbox_message, in the order of due_at and id, where it takes its
-- seq.
create table if not exists outbox_scheduled (
    id binary(16) not null default (unhex(replace(uuid(), '-', ''))) primary key,
    due_at datetime(6) not null,
    topic varchar(255) not null check (char_length(topic) > 0),
    `key` varchar(1024) check (char_length(`key`) > 0),
    event_type varchar(255) not null check (char_length(event_type) > 0),
    payload longblob not null,
    content_type varchar(255),
    headers json check (json_valid(headers) and json_type(headers) = 'OBJECT'),
    created_at timestamp(6) not null default current_timestamp(6),
    dedup_key varbinary(255),
    key due (due_at, id)
) engine = innodb default character set utf8mb4 collate utf8mb4_bin;

-- Who locks this row moves what is due, for all processes. At "prune_at" somebody deletes what has expired.
create table if not exists outbox_mover (
    id int not null primary key default 1,
    prune_at datetime(6) not null default '1970-01-01'
) engine = innodb;

insert ignore into outbox_mover (id) values (1);

-- The first message of each deduplication key, and how many there were; remembered until it expires.
create table if not exists outbox_dedup (
    dedup_key varbinary(255) not null primary key,
    id binary(16) not null,
    expires_at datetime(6) not null,
    times bigint not null default 1,
    key expires (expires_at)
) engine = innodb;

-- What a consumer has processed, and how often it came.
create table if not exists outbox_inbox (
    consumer varbinary(255) not null,
    message_id binary(16) not null,
    processed_at timestamp(6) not null default current_timestamp(6),
    expires_at datetime(6) not null,
    times bigint not null default 1,
    primary key (consumer, message_id),
    key expires (expires_at)
) engine = innodb;

-- The classic table, to read. What waits until it is due is not published.
create or replace view outbox as
select lower(insert(insert(insert(insert(hex(m.id), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-')) as id,
       m.event_type as event_type,
       case when m.content_type like 'text/%' or m.content_type like 'application/%json%'
            then convert(m.payload using utf8mb4) else concat(char(92 using utf8mb4), 'x', lower(hex(m.payload))) end as payload,
       m.created_at as created_at,
       m.published_at as published_at,
       m.retry_count as retry_count
from (select id, event_type, payload, content_type, created_at, cast(null as datetime(6)) as published_at, 0 as retry_count
      from outbox_message
      union all
      select id, event_type, payload, content_type, created_at, null, attempts from outbox_parked
      union all
      select id, event_type, payload, content_type, created_at, null, attempts from outbox_dead_letter
      union all
      select id, event_type, payload, content_type, created_at, delivered_at, 0 from outbox_delivered
      union all
      select id, event_type, payload, content_type, created_at, null, 0 from outbox_scheduled) m;

drop procedure if exists outbox_schedule;

-- The time is of the session's time zone.
create procedure outbox_schedule(in p_topic varchar(255) character set utf8mb4, in p_key varchar(1024) character set utf8mb4,
                                 in p_event_type varchar(255) character set utf8mb4,
                                 in p_payload longtext character set utf8mb4, in p_headers json,
                                 in p_deliver_at datetime(6))
    insert into outbox_scheduled (topic, `key`, event_type, payload, content_type, headers, due_at)
    values (p_topic, p_key, p_event_type, convert(p_payload using binary),
            if(json_valid(p_payload), 'application/json', 'text/plain; charset=utf-8'), p_headers,
            timestampadd(microsecond, timestampdiff(microsecond, now(6), p_deliver_at), utc_timestamp(6)));
