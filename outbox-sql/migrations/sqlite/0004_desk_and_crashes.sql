-- What is decided at the desk about a relay name. "revision" rises with everything that changes what it has to do.
create table outbox_control (
    relay text primary key,
    revision integer not null default 0,
    paused_at integer
) without rowid;

create table outbox_paused_key (
    relay text not null,
    key text not null,
    paused_at integer not null default (cast(unixepoch('subsec') * 1000000 as integer)),
    primary key (relay, key)
) without rowid;

-- What the next holder has to know where this one ends without giving its lease up.
alter table outbox_relay add column crashes integer not null default 0;
alter table outbox_relay add column suspect integer;
alter table outbox_relay add column outage integer not null default 0;
