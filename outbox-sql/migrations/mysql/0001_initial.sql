-- The outbox on MySQL 8.0 or MariaDB 10.6, or newer. Every name that begins with "outbox" is replaced by the configured
-- one. A schema change commits by itself here, so each statement may be run again after one that failed.
create table if not exists outbox_schema (
    version int not null primary key,
    applied_at timestamp(6) not null default current_timestamp(6)
) engine = innodb;

-- Written once by the application, deleted when it is settled. The order of seq is not the order of commits.
create table if not exists outbox_message (
    seq bigint not null auto_increment primary key,
    id binary(16) not null default (unhex(replace(uuid(), '-', ''))),
    topic varchar(255) not null check (char_length(topic) > 0),
    `key` varchar(1024) check (char_length(`key`) > 0),
    event_type varchar(255) not null check (char_length(event_type) > 0),
    payload longblob not null,
    content_type varchar(255),
    headers json check (json_valid(headers) and json_type(headers) = 'OBJECT'),
    created_at timestamp(6) not null default current_timestamp(6)
) engine = innodb default character set utf8mb4 collate utf8mb4_bin;

-- One row a relay name: its lease. "server" is the one on which it was acquired, "topics" a list of patterns as JSON,
-- "lease" in milliseconds, "position" the highest number that was handed out. What the relay writes as datetime is UTC.
create table if not exists outbox_relay (
    relay varchar(255) not null primary key,
    owner binary(16),
    epoch bigint not null default 0,
    token binary(16),
    server bigint,
    expires_at datetime(6),
    lease bigint not null default 30000,
    topics text,
    position bigint not null default 0,
    settled_at datetime(6)
) engine = innodb default character set utf8mb4 collate utf8mb4_bin;

-- The whole message: it leaves outbox_message when it is parked.
create table if not exists outbox_parked (
    relay varchar(255) not null,
    seq bigint not null,
    id binary(16) not null,
    topic varchar(255) not null,
    `key` varchar(1024),
    event_type varchar(255) not null,
    payload longblob not null,
    content_type varchar(255),
    headers longtext,
    created_at timestamp(6) not null default current_timestamp(6),
    attempts int not null,
    next_attempt_at datetime(6) not null,
    last_error text,
    primary key (relay, seq)
) engine = innodb default character set utf8mb4 collate utf8mb4_bin;

create table if not exists outbox_dead_letter (
    relay varchar(255) not null,
    seq bigint not null,
    id binary(16) not null,
    topic varchar(255) not null,
    `key` varchar(1024),
    event_type varchar(255) not null,
    payload longblob not null,
    content_type varchar(255),
    headers longtext,
    created_at timestamp(6) not null default current_timestamp(6),
    reason text not null,
    attempts int not null,
    history text,
    died_at timestamp(6) not null default current_timestamp(6),
    primary key (relay, seq, id)
) engine = innodb default character set utf8mb4 collate utf8mb4_bin;

-- A row for each group of keys: who locks it is alone with them.
create table if not exists outbox_lock (
    slot int not null primary key
) engine = innodb;

insert ignore into outbox_lock (slot)
select a.n + 16 * b.n + 256 * c.n
from (select 0 as n union all select 1 union all select 2 union all select 3 union all select 4 union all select 5
      union all select 6 union all select 7 union all select 8 union all select 9 union all select 10
      union all select 11 union all select 12 union all select 13 union all select 14 union all select 15) a,
     (select 0 as n union all select 1 union all select 2 union all select 3 union all select 4 union all select 5
      union all select 6 union all select 7 union all select 8 union all select 9 union all select 10
      union all select 11 union all select 12 union all select 13 union all select 14 union all select 15) b,
     (select 0 as n union all select 1 union all select 2 union all select 3 union all select 4 union all select 5
      union all select 6 union all select 7 union all select 8 union all select 9 union all select 10
      union all select 11 union all select 12 union all select 13 union all select 14 union all select 15) c;

-- The classic table, to read: what waits, what is parked and what is dead.
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
      select id, event_type, payload, content_type, created_at, null, attempts from outbox_dead_letter) m;

drop procedure if exists outbox_enqueue;

create procedure outbox_enqueue(in p_topic varchar(255) character set utf8mb4, in p_key varchar(1024) character set utf8mb4,
                                in p_event_type varchar(255) character set utf8mb4,
                                in p_payload longtext character set utf8mb4, in p_headers json)
    insert into outbox_message (topic, `key`, event_type, payload, content_type, headers)
    values (p_topic, p_key, p_event_type, convert(p_payload using binary),
            if(json_valid(p_payload), 'application/json', 'text/plain; charset=utf-8'), p_headers);
