# MariaDB and MySQL servers for tests. Sourced by tests/run after postgres.sh, whose functions and
# certificates it uses, and which stops these servers too.
#
# Both listen on 127.0.0.1 only and know `root` with a password. MariaDB offers TLS with the
# certificate for the name `localhost`; the encryption of MySQL 5.6 is too old for any client of
# today, so it is off there.

start_mysql_servers() {
    local password ports pid pids=()
    password=$(openssl rand -hex 12)
    mapfile -t ports < <(free_ports 2)
    # Side by side: creating a server takes seconds.
    start_mariadb "$IXTRACT_TEST_DIR/mariadb" "$password" "${ports[0]}" &
    pids+=($!)
    start_mysql56 "$IXTRACT_TEST_DIR/mysql56" "$password" "${ports[1]}" &
    pids+=($!)
    for pid in "${pids[@]}"; do wait "$pid" || die "a MySQL or MariaDB server did not start"; done
    export IXTRACT_TEST_MARIADB="mysql://root:$password@localhost:${ports[0]}/mysql"
    export IXTRACT_TEST_MYSQL56="mysql://root:$password@localhost:${ports[1]}/mysql"
}

# start_mariadb HOME PASSWORD PORT
start_mariadb() {
    local home=$1 tls=${IXTRACT_TEST_CA%/*}
    make_home "$home"
    cd "$home"
    as_server cp "$tls"/{server.crt,server.key,ca.crt} .
    configure_mysql "$home" "$2" "$3" <<CONF
skip-name-resolve
innodb_buffer_pool_size = 64M
innodb_log_file_size = 16M
innodb_use_native_aio = 0
log-bin = binlog
server-id = 1
ssl-cert = $home/server.crt
ssl-key = $home/server.key
ssl-ca = $home/ca.crt
CONF
    as_server mariadb-install-db --defaults-file="$home/my.cnf" --skip-test-db \
        --auth-root-authentication-method=normal >install.log 2>&1 || { cat install.log >&2; return 1; }
    run_mysql "$home" /usr/sbin/mariadbd
}

# start_mysql56 HOME PASSWORD PORT
start_mysql56() {
    local home=$1 server=$IXTRACT_TEST_MYSQL56_HOME
    make_home "$home"
    cd "$home"
    # Another user cannot look into root's home.
    if ! as_server test -x "$server/mysqld"; then
        cp -a "$server" programs
        chmod -R a+rX programs
        server=$home/programs
    fi
    as_server cp -r "$server/data/mysql" data
    # Two servers of one identity would be one.
    as_server rm -f data/auto.cnf
    configure_mysql "$home" "$2" "$3" <<CONF
basedir = $server
lc-messages-dir = $server/share
explicit_defaults_for_timestamp = 1
performance_schema = 0
innodb_buffer_pool_size = 32M
innodb_use_native_aio = 0
skip-ssl
CONF
    LD_LIBRARY_PATH=$server run_mysql "$home" "$server/mysqld"
}

# configure_mysql HOME PASSWORD PORT <CONFIGURATION: what both have in common, and the rest.
configure_mysql() {
    as_server tee my.cnf >/dev/null <<CONF
[mysqld]
datadir = $1/data
tmpdir = $1
socket = $1/socket
port = $3
bind-address = 127.0.0.1
pid-file = $1/data/mysqld.pid
log-error = $1/log.err
init-file = $1/init.sql
max_connections = 250
innodb_flush_log_at_trx_commit = 0
character-set-server = utf8mb4
$(cat)
CONF
    as_server tee init.sql >/dev/null <<SQL
GRANT ALL ON *.* TO 'root'@'localhost' IDENTIFIED BY '$2' WITH GRANT OPTION;
GRANT ALL ON *.* TO 'root'@'127.0.0.1' IDENTIFIED BY '$2' WITH GRANT OPTION;
DELETE FROM mysql.user WHERE User = '';
FLUSH PRIVILEGES;
SQL
}

# run_mysql HOME PROGRAM: starts the server and waits until it takes connections.
run_mysql() {
    local home=$1 tries=0
    # In a session of its own, so that Ctrl-C stops it with the scratch directory and not before.
    (cd "$home" && as_server env LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" setsid \
        "$2" --defaults-file="$home/my.cnf" >>output 2>&1 </dev/null &)
    until grep -q 'ready for connections' log.err 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || { tail -n 20 output log.err >&2; return 1; }
        sleep 0.1
    done
}
