# PostgreSQL servers for tests. Sourced by tests/run, which starts the servers that all tests share,
# by scripts that need one server, and by tests/it/servers/private.rs, for tests that need a server of
# their own.
#
# Every server listens on 127.0.0.1 only, asks for a SCRAM password, offers TLS with a certificate
# for the name `localhost` (so `127.0.0.1` is a host that verify-full must refuse), and keeps
# nothing on disk that a crash would have to save. The functions rely on `set -e`.

# Runs a command as the user that servers run as: PostgreSQL refuses to run as root.
as_server() {
    if [ -n "${IXTRACT_TEST_SERVER_USER:-}" ]; then
        runuser -u "$IXTRACT_TEST_SERVER_USER" -- "$@"
    else
        "$@"
    fi
}

choose_server_user() {
    [ "$(id -u)" -eq 0 ] || return 0
    export IXTRACT_TEST_SERVER_USER=ixtract-test
    id "$IXTRACT_TEST_SERVER_USER" >/dev/null 2>&1 ||
        useradd --system --no-create-home --shell /usr/sbin/nologin "$IXTRACT_TEST_SERVER_USER"
    local version
    for version in "${!postgres_releases[@]}"; do make_reachable "IXTRACT_TEST_PG${version}_BIN"; done
}

# Another user cannot look into root's home: gives it a copy of the programs in that case.
make_reachable() {
    local name=$1 native=${!1%/bin}
    ! as_server test -x "$native/bin/postgres" || return 0
    cp -a "$native" "$IXTRACT_TEST_DIR/$name"
    chmod -R a+rX "$IXTRACT_TEST_DIR/$name"
    export "$name=$IXTRACT_TEST_DIR/$name/bin"
}

start_servers() {
    local tls=$IXTRACT_TEST_DIR/tls names=(PG) version password ports i pid pids=()
    for version in "${!postgres_releases[@]}"; do names+=("PG$version"); done
    make_certificates "$tls"
    export IXTRACT_TEST_CA=$tls/ca.crt IXTRACT_TEST_OTHER_CA=$tls/other-ca.crt
    make_locales "$IXTRACT_TEST_DIR/locale"
    password=$(openssl rand -hex 12)
    mapfile -t ports < <(free_ports ${#names[@]})

    # Side by side: initdb takes seconds.
    for i in "${!names[@]}"; do
        LOCPATH=$IXTRACT_TEST_DIR/locale start_shared_server "${names[i]}" "$password" "${ports[i]}" &
        pids+=($!)
        export "IXTRACT_TEST_${names[i]}=postgresql://postgres:$password@localhost:${ports[i]}/postgres"
    done
    for pid in "${pids[@]}"; do wait "$pid" || die "a server did not start"; done
}

# Starts the distribution's server alone, for scripts; `url` becomes its superuser's.
start_one_server() {
    local password port
    make_certificates "$IXTRACT_TEST_DIR/tls"
    export IXTRACT_TEST_CA=$IXTRACT_TEST_DIR/tls/ca.crt
    password=$(openssl rand -hex 12)
    port=$(free_ports 1)
    # It changes the directory.
    (start_shared_server PG "$password" "$port")
    url=postgresql://postgres:$password@localhost:$port/postgres
}

# make_locales DIR: locales whose money has two, no, and three digits after the point.
make_locales() {
    local name
    mkdir -p "$1"
    for name in de_DE ja_JP ar_KW; do
        # It warns of characters that a locale of all of Unicode does not care for.
        localedef --force -i "$name" -f UTF-8 "$1/$name.UTF-8" 2>/dev/null || true
        [ -d "$1/$name.UTF-8" ] || die "localedef made no $name.UTF-8"
    done
    chmod -R a+rX "$1"
}

# start_shared_server NAME PASSWORD PORT: NAME is PG for the distribution's, PG13 for version 13.
start_shared_server() {
    local bin=IXTRACT_TEST_${1}_BIN home=$IXTRACT_TEST_DIR/$1
    make_home "$home"
    create_server "$home" "${!bin}" "$2"
    start_server "$home" "${!bin}" "$3"
}

# make_home HOME: the directory of one server; its data goes to HOME/data.
make_home() {
    mkdir -p "$1"
    [ -z "${IXTRACT_TEST_SERVER_USER:-}" ] || chown "$IXTRACT_TEST_SERVER_USER": "$1"
}

# create_server HOME BIN PASSWORD [CONFIGURATION]
create_server() {
    local tls=${IXTRACT_TEST_CA%/*}
    cd "$1"
    as_server tee password >/dev/null <<<"$3"
    as_server "$2/initdb" --pgdata data --username postgres --pwfile password \
        --auth scram-sha-256 --encoding UTF8 --locale C --no-sync >initdb.log 2>&1 ||
        { cat initdb.log >&2; return 1; }
    as_server cp "$tls"/{server.crt,server.key,ca.crt} data/
    as_server chmod 600 data/server.key
    cat >>data/postgresql.conf <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$1'
max_connections = 200
fsync = off
synchronous_commit = off
full_page_writes = off
ssl = on
ssl_ca_file = 'ca.crt'
${4:-}
CONF
    # Two roles with rules of their own; a test that wants one creates it.
    cat - data/pg_hba.conf >hba <<HBA
hostnossl all tls_only 127.0.0.1/32 reject
hostssl all cert_only 127.0.0.1/32 cert
hostnossl all cert_only 127.0.0.1/32 reject
HBA
    cat hba >data/pg_hba.conf
}

# start_server HOME BIN PORT
start_server() {
    cd "$1"
    as_server "$2/pg_ctl" --pgdata data --log log --options "-p $3" --wait start \
        >/dev/null </dev/null || { tail -n 20 log >&2; return 1; }
}

# Stops every server whose data directory lies in DIR, MySQL's and MariaDB's too.
stop_servers() {
    local data pid signal
    for data in "$1"/*/data; do
        # Stop at once, there is nothing to save: SIGQUIT lets PostgreSQL take its children along.
        signal=QUIT
        [ -e "$data/postmaster.pid" ] || signal=KILL
        ! pid=$(server_pid "$data") || kill "-$signal" "$pid" 2>/dev/null || true
    done
    for data in "$1"/*/data; do
        while server_pid "$data" >/dev/null; do sleep 0.02; done
    done
}

# Prints the id of the server that runs in the directory DATA; fails when none does. A pid file
# alone proves nothing (a killed server leaves it, ids come again), where the process stands does.
server_pid() {
    local data=$1 pid
    pid=$(cat "$data/postmaster.pid" "$data/mysqld.pid" 2>/dev/null | head -n 1)
    [ -n "$pid" ] || return 1
    [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$(realpath "$data")" ] || return 1
    printf '%s' "$pid"
}

# An authority, a server certificate for `localhost`, a client certificate for the role
# `cert_only`, and another authority that knows none of them.
make_certificates() {
    local tls=$1 authority
    mkdir "$tls"
    for authority in ca other-ca; do
        openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=ixtract tests $authority" \
            -keyout "$tls/$authority.key" -out "$tls/$authority.crt" 2>/dev/null
    done
    sign "$tls" server localhost
    sign "$tls" client cert_only
    # Thirty-day keys of throwaway servers: the servers' user has to read them.
    chmod -R a+rX "$tls"
}

# sign DIR FILE NAME: DIR/FILE.crt and .key, for NAME.
sign() {
    local tls=$1 file=$1/$2 name=$3
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" \
        -keyout "$file.key" -out "$file.csr" 2>/dev/null
    openssl x509 -req -in "$file.csr" -CA "$tls/ca.crt" -CAkey "$tls/ca.key" -CAcreateserial \
        -days 30 -extfile <(printf 'subjectAltName=DNS:%s\n' "$name") -out "$file.crt" 2>/dev/null
    chmod a+r "$file.key"
}

# Prints COUNT ports that are free now; all are held at once, so none comes twice.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
for listener in held:
    print(listener.getsockname()[1])
PYTHON
}
