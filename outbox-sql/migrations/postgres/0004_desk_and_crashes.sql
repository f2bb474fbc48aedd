-- What is decided at the desk about a relay name. "revision" rises with everything that changes what it has to do.
create table outbox_control (
    relay text primary key,
    revision bigint not null default 0,
    paused_at timestamptz
) with (fillfactor = 50);

create table outbox_paused_key (
    relay text not null,
    key text not null,
    paused_at timestamptz not null default now(),
    primary key (relay, key)
);

-- What the next holder has to know where this one ends without giving its lease up. Waits at most 3 s for whoever reads
-- the table: where that is not enough, nothing was changed, and it can be run again.
set local lock_timeout = '3s';

alter table outbox_relay add column crashes int not null default 0;
alter table outbox_relay add column suspect bigint;
alter table outbox_relay add column outage boolean not null default false;
