-- Delivered messages can be kept, and be put back.
-- What was delivered, where it is kept.
create table if not exists outbox_delivered (
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
    delivered_at timestamp(6) not null default current_timestamp(6),
    primary key (seq, id)
) engine = innodb default character set utf8mb4 collate utf8mb4_bin;

-- The classic table, to read: what waits, what is parked, what is dead, and what was delivered and is kept.
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
      select id, event_type, payload, content_type, created_at, delivered_at, 0 from outbox_delivered) m;
