-- What is decided at the desk about a relay name. "revision" rises with everything that changes what it has to do.
create table if not exists outbox_control (
    relay varchar(255) not null primary key,
    revision bigint not null default 0,
    paused_at datetime(6)
) engine = innodb default character set utf8mb4 collate utf8mb4_bin;

-- A key is longer than an index may be, so its SHA-256 stands for it.
create table if not exists outbox_paused_key (
    relay varchar(255) not null,
    hash binary(32) not null,
    `key` varchar(1024) not null,
    paused_at datetime(6) not null,
    primary key (relay, hash)
) engine = innodb default character set utf8mb4 collate utf8mb4_bin;

-- What the next holder has to know where this one ends without giving its lease up. In a table of its own, because a
-- column cannot be added twice, and each statement may be run again after one that failed.
create table if not exists outbox_note (
    relay varchar(255) not null primary key,
    crashes int not null default 0,
    suspect bigint,
    outage boolean not null default false
) engine = innodb default character set utf8mb4 collate utf8mb4_bin;
