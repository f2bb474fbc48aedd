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
