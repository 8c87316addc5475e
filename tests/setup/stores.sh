# Object stores for tests. Sourced by tests/run.
#
# SeaweedFS is a real store that speaks S3 and checks signatures; moto imitates AWS, with its error
# codes and its users' rights; azurite is Microsoft's own emulator of Azure's blobs; Google's API is
# spoken by a peer of ours (tests/peers/gcs.py). All listen on 127.0.0.1 only and keep nothing.

# start_stores: starts every store and exports what tests need to know of it.
start_stores() {
    local home=$IXTRACT_TEST_DIR/stores name pid pids=()
    mkdir -p "$home"
    export IXTRACT_TEST_STORE_PYTHON=$IXTRACT_TEST_TOOLS/stores/bin/python
    export IXTRACT_TEST_GCS_KEY=$home/google.json
    make_service_account "$home"
    for name in seaweed moto gcs azure; do
        start_store "$name" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || die "a store did not start: see above"; done
    for name in seaweed moto gcs azure; do export_endpoint "$name" "$(cat "$home/$name/port")"; done
    IXTRACT_TEST_MOTO_KEY=$(cat "$home/moto/ready")
    export IXTRACT_TEST_MOTO_KEY
}

# export_endpoint NAME PORT
export_endpoint() {
    case $1 in
        seaweed) export IXTRACT_TEST_S3=http://127.0.0.1:$2 ;;
        moto) export IXTRACT_TEST_MOTO=http://127.0.0.1:$2 ;;
        gcs) export IXTRACT_TEST_GCS=http://127.0.0.1:$2 ;;
        azure) export IXTRACT_TEST_AZURE=http://127.0.0.1:$2/devstoreaccount1 ;;
    esac
}

# A service account of Google's: a key pair, and the document that tools read.
make_service_account() {
    openssl genrsa -out "$1/google.key" 2048 2>/dev/null
    openssl rsa -in "$1/google.key" -pubout -out "$1/google.pub" 2>/dev/null
    python3 - "$1/google.key" >"$1/google.json" <<'PYTHON'
import json, sys
print(json.dumps({
    "type": "service_account", "client_id": "1", "private_key_id": "tests",
    "client_email": "tests@example.com", "private_key": open(sys.argv[1]).read(),
}))
PYTHON
}

# start_store NAME: in a directory of its own, by which it is recognised, until it answers. Somebody
# may take a free port before the store does, so it gets several tries; the first of its ports goes to
# NAME/port, what `store.py ready` prints to NAME/ready.
start_store() {
    local home=$IXTRACT_TEST_DIR/stores/$1 ports
    mkdir -p "$home"
    cd "$home"
    for _ in 1 2 3 4 5; do
        mapfile -t ports < <(quiet_ports 8)
        rm -rf data
        mkdir data
        "start_$1" "${ports[@]}" >log 2>&1 </dev/null &
        echo $! >pid
        echo "${ports[0]}" >port
        printf '%s\n' "${ports[@]}" >ports
        export_endpoint "$1" "${ports[0]}"
        if is_listening "$(cat pid)" "${ports[0]}" &&
            "$IXTRACT_TEST_STORE_PYTHON" "$repo/tests/store.py" ready "$1" >ready 2>>log; then
            return 0
        fi
        kill -KILL "$(cat pid)" 2>/dev/null || true
    done
    tail -n 20 log >&2
    return 1
}

# Prints COUNT ports that are free now and that the system gives to nobody who asks for any.
quiet_ports() {
    python3 - "$1" <<'PYTHON'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    try:
        held.append(socket.create_server(("127.0.0.1", random.randrange(12000, 32000))))
    except OSError:
        pass
for listener in held:
    print(listener.getsockname()[1])
PYTHON
}

# is_listening PID PORT: waits until the process has opened the port; fails when it has ended.
is_listening() {
    for _ in {1..600}; do
        [ -d "/proc/$1" ] || return 1
        ! (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

# Without the switch it would report to its makers, and without ports of its own for what is not
# wanted no two could run.
start_seaweed() {
    cat >identities.json <<JSON
{"identities": [{"name": "tests", "actions": ["Admin"],
  "credentials": [{"accessKey": "ixtract-tests", "secretKey": "only-for-tests"}]}]}
JSON
    exec setsid "$IXTRACT_TEST_TOOLS/stores/bin/weed" -logtostderr=true server \
        -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir=data -master.telemetry=false \
        -master.port="$2" -master.port.grpc="$3" -master.volumeSizeLimitMB=64 \
        -volume.port="$4" -volume.port.grpc="$5" -volume.max=200 \
        -filer -filer.port="$6" -filer.port.grpc="$7" \
        -filer.localSocket="$PWD/filer.sock" \
        -s3 -s3.port="$1" -s3.port.grpc="$8" -s3.config=identities.json \
        -s3.localSocket="$PWD/s3.sock" -s3.port.iceberg=0 -s3.port.lance=0
}

# It checks signatures once this many requests have set it up.
start_moto() {
    export INITIAL_NO_AUTH_ACTION_COUNT=5
    exec setsid "$IXTRACT_TEST_TOOLS/stores/bin/moto_server" -H 127.0.0.1 -p "$1"
}

start_gcs() {
    exec setsid "$IXTRACT_TEST_STORE_PYTHON" "$repo/tests/peers/gcs.py" "$1" ../google.pub
}

# Without the last flag it tries to reach its makers.
start_azure() {
    local package=$IXTRACT_TEST_TOOLS/azurite/node_modules/azurite
    exec setsid node "$package/dist/src/blob/main.js" --blobHost 127.0.0.1 --blobPort "$1" \
        --inMemoryPersistence --skipApiVersionCheck --disableTelemetry
}

# Stops every store that was started for DIR.
stop_stores() {
    local file pid port
    for file in "$1"/stores/*/pid; do
        pid=$(cat "$file" 2>/dev/null) || continue
        # A pid file alone proves nothing, where the process stands does.
        [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$(realpath "${file%/*}")" ] || continue
        kill -KILL "$pid" 2>/dev/null || true
        # SeaweedFS leaves sockets where nobody told it to.
        while read -r port; do
            rm -f /tmp/seaweedfs-*-"$port".sock
        done <"${file%/*}/ports"
    done
}
