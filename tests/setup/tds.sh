# The TDS peer for tests of the SQL Server source. Sourced by tests/run after postgres.sh and stores.sh,
# whose certificates and functions it uses; it is stopped with the stores.
#
# It is a protocol peer of ours on top of PyPI's pysqlbridge, not Microsoft's server: there is none to be
# had. It listens on 127.0.0.1 only and knows `sa`. Its second port sends clients on to the first.

start_tds() {
    local home=$IXTRACT_TEST_DIR/stores/tds password ports
    export IXTRACT_TEST_TDS_PYTHON=$IXTRACT_TEST_TOOLS/tds/bin/python
    password=$(openssl rand -hex 12)
    mkdir -p "$home"
    for _ in 1 2 3 4 5; do
        mapfile -t ports < <(quiet_ports 2)
        (
            cd "$home"
            rm -rf data
            mkdir data
            setsid "$IXTRACT_TEST_TDS_PYTHON" "$repo/tests/peers/tds_peer.py" "${ports[@]}" data \
                "${IXTRACT_TEST_CA%/*}/server.crt" "${IXTRACT_TEST_CA%/*}/server.key" "$password" \
                >log 2>&1 </dev/null &
            echo $! >pid
            printf '%s\n' "${ports[@]}" >ports
            is_listening "$(cat pid)" "${ports[0]}" && is_listening "$(cat pid)" "${ports[1]}"
        ) && break
        kill -KILL "$(cat "$home/pid")" 2>/dev/null || true
        ports=()
    done
    [ ${#ports[@]} -eq 2 ] || { tail -n 20 "$home/log" >&2; die "the TDS peer did not start"; }
    export IXTRACT_TEST_TDS="sqlserver://sa:$password@localhost:${ports[0]}/master"
    export IXTRACT_TEST_TDS_GATEWAY=${ports[1]}
}
