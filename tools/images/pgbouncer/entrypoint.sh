#!/bin/sh
# Subset of the public image's contract: DB_{HOST,PORT,USER,PASSWORD}, LISTEN_{ADDR,PORT}, AUTH_TYPE (plain or
# scram-sha-256 only: the password is kept as it is), POOL_MODE, DEFAULT_POOL_SIZE, MAX_CLIENT_CONN,
# SERVER_LOGIN_RETRY, QUERY_WAIT_TIMEOUT.
set -eu
dir=/etc/pgbouncer
printf '"%s" "%s"\n' "$DB_USER" "$DB_PASSWORD" >"$dir/userlist.txt"
cat >"$dir/pgbouncer.ini" <<I
[databases]
* = host=${DB_HOST:?} port=${DB_PORT:-5432}

[pgbouncer]
listen_addr = ${LISTEN_ADDR:-0.0.0.0}
listen_port = ${LISTEN_PORT:-5432}
unix_socket_dir =
auth_file = $dir/userlist.txt
auth_type = ${AUTH_TYPE:?}
pool_mode = ${POOL_MODE:-session}
default_pool_size = ${DEFAULT_POOL_SIZE:-20}
max_client_conn = ${MAX_CLIENT_CONN:-100}
server_login_retry = ${SERVER_LOGIN_RETRY:-15}
query_wait_timeout = ${QUERY_WAIT_TIMEOUT:-120}
ignore_startup_parameters = extra_float_digits
admin_users = postgres
I
exec "$@"
