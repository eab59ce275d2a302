#!/usr/bin/env bash
# The services of a team on this machine (docs/team.md): PostgreSQL, a Prefect server and an MLflow server that use
# it, and an S3 server for a trial. `start` leaves them running, `stop` ends them, `status` says which run.
#
# Environment variables, with their defaults:
#   MEMNAS_TEAM_FOLDER         folder for all data of the services (store/team)
#   MEMNAS_TEAM_ADDRESS        the address that the Prefect, MLflow and S3 servers listen on (127.0.0.1)
#   MEMNAS_TEAM_PREFECT_PORT   (4200)
#   MEMNAS_TEAM_MLFLOW_PORT    (5000)
#   MEMNAS_TEAM_S3_PORT        (9000)
#   MEMNAS_TEAM_POSTGRES_PORT  (5442, always on 127.0.0.1)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/environment.sh
. scripts/environment.sh
# shellcheck source=scripts/services.sh
. scripts/services.sh

bin=$PWD/.venv/bin
folder=$(realpath -m "${MEMNAS_TEAM_FOLDER:-store/team}")
state=$folder # pid files and logs
address=${MEMNAS_TEAM_ADDRESS:-127.0.0.1}
prefect_port=${MEMNAS_TEAM_PREFECT_PORT:-4200}
mlflow_port=${MEMNAS_TEAM_MLFLOW_PORT:-5000}
s3_port=${MEMNAS_TEAM_S3_PORT:-9000}
postgres_port=${MEMNAS_TEAM_POSTGRES_PORT:-5442}
prefect=http://$address:$prefect_port/api
mlflow=http://$address:$mlflow_port
s3=http://$address:$s3_port
data=$folder/postgres/data

fail() {
    echo "error: $1" >&2
    exit 1
}

# as_owner COMMAND...: runs a command as PostgreSQL's user, which must not be root, from a folder that this user may
# enter, and without the lock.
as_owner() (
    cd "$folder/postgres"
    exec 9>&-
    if [ "$(id -u)" -eq 0 ]; then exec runuser -u postgres -- "$@"; else exec "$@"; fi
)

# Debian does not put the server's programs on the path.
tools() {
    local found
    found=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1) || found=$(command -v initdb) ||
        fail "PostgreSQL's server is not installed (no initdb); on Debian: apt-get install postgresql"
    dirname "$found"
}

# running NAME: whether the process of NAME's pid file lives and is ours (the system reuses pids).
running() {
    [ -s "$folder/$1.pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$(<"$folder/$1.pid")/cmdline" | grep -q "$1"
}

postgres_running() {
    [ -d "$data" ] && as_owner "$pg/pg_ctl" status -D "$data" >/dev/null
}

# answers URL: whether a server reports that it is healthy.
answers() {
    "$bin/python" - "$1" 2>/dev/null <<'PYTHON'
import sys
import urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(sys.argv[1], timeout=5) as answer:
    answer.read()
PYTHON
}

# free_port ADDRESS PORT VARIABLE: checks that a port is free; VARIABLE names the service in MEMNAS_TEAM_VARIABLE_PORT.
free_port() {
    ! (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null ||
        fail "port $2 of $1 is taken by something else; free it, or choose another: MEMNAS_TEAM_$3_PORT=PORT"
}

check_ports() {
    postgres_running || free_port 127.0.0.1 "$postgres_port" POSTGRES
    running prefect || free_port "$address" "$prefect_port" PREFECT
    running mlflow || free_port "$address" "$mlflow_port" MLFLOW
    running moto || free_port "$address" "$s3_port" S3
}

# whole FILE: writes standard input to a file atomically.
whole() {
    cat >"$1.new"
    mv "$1.new" "$1"
}

secret() {
    "$bin/python" -c 'import secrets; print(secrets.token_hex(24))'
}

# The first start with a folder draws its passwords; later starts read them.
read_passwords() {
    [ -s "$folder/passwords.env" ] || whole "$folder/passwords.env" <<TEXT
postgres_password=$(secret)
prefect_database_password=$(secret)
mlflow_database_password=$(secret)
prefect_login=memnas:$(secret)
TEXT
    # shellcheck source=/dev/null
    . "$folder/passwords.env"
}

start_postgres() {
    mkdir -p "$folder/postgres"
    if [ "$(id -u)" -eq 0 ]; then
        chown postgres: "$folder/postgres"
        as_owner true 2>/dev/null && as_owner test -w "$folder/postgres" || fail \
            "$folder: as root, PostgreSQL runs as the user postgres, who cannot get there; choose another place: MEMNAS_TEAM_FOLDER=/var/lib/memnas-team"
    fi
    if [ ! -d "$data" ]; then # made beside it, so that a start that was killed leaves no half of it
        rm -rf "$data.new"
        printf %s "$postgres_password" | as_owner sh -c 'cat >password'
        as_owner "$pg/initdb" -D "$data.new" -U postgres --pwfile="$folder/postgres/password" --auth=scram-sha-256 \
            --encoding=UTF8 --locale=C.UTF-8 >"$folder/postgres.log" 2>&1 || {
            tail -n 15 "$folder/postgres.log" >&2
            fail "PostgreSQL's cluster could not be made in $data"
        }
        rm "$folder/postgres/password"
        mv "$data.new" "$data"
    fi
    if ! postgres_running; then
        as_owner "$pg/pg_ctl" start -w -t 60 -D "$data" -l "$folder/postgres/postgres.log" -o \
            "-c listen_addresses=127.0.0.1 -c port=$postgres_port -c unix_socket_directories= -c max_connections=200" \
            >/dev/null || fail "postgres did not start; its log is $folder/postgres/postgres.log"
    fi
    PGPASSWORD=$postgres_password "$pg/psql" -q -X -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$postgres_port" -U postgres \
        -d postgres >>"$folder/postgres.log" 2>&1 <<SQL || fail "the databases could not be made; $folder/postgres.log says why"
$(database prefect "$prefect_database_password")
$(database mlflow "$mlflow_database_password")
SQL
}

# database NAME PASSWORD: prints SQL that creates a database and its owner of the same name, if missing.
database() {
    cat <<SQL
SELECT 'CREATE ROLE $1 LOGIN PASSWORD ''$2''' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$1') \gexec
SELECT 'CREATE DATABASE $1 OWNER $1' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '$1') \gexec
REVOKE CONNECT ON DATABASE $1 FROM PUBLIC;
SQL
}

start_servers() {
    if ! running prefect; then
        # Passwords go through the environment, as everybody on the machine can see command lines.
        PREFECT_HOME=$folder/prefect PREFECT_SERVER_API_AUTH_STRING=$prefect_login \
            PREFECT_API_DATABASE_CONNECTION_URL=postgresql+asyncpg://prefect:$prefect_database_password@127.0.0.1:$postgres_port/prefect \
            launch prefect "$bin/prefect" server start --host "$address" --port "$prefect_port"
    fi
    if ! running mlflow; then
        # MLflow's job runners would be eight more processes, and there are no jobs here.
        MLFLOW_BACKEND_STORE_URI=postgresql://mlflow:$mlflow_database_password@127.0.0.1:$postgres_port/mlflow \
            MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
            launch mlflow "$bin/mlflow" server --host "$address" --port "$mlflow_port" --workers 2 \
            --serve-artifacts --artifacts-destination "$folder/artifacts"
    fi
    if ! running moto; then
        launch moto "$bin/moto_server" --host "$address" --port "$s3_port"
        await moto "" answers "$s3/moto-api/data.json"
        "$bin/python" scripts/trial_s3.py "$s3" memnas | whole "$folder/s3.env" || fail "the S3 server gave no keys"
    fi
    await prefect "" answers "$prefect/health"
    await mlflow "" answers "$mlflow/health"
}

start() {
    [ -x "$bin/moto_server" ] || fail "the packages for it are missing in .venv; run: make team"
    [ "$address" != 0.0.0.0 ] || fail "MEMNAS_TEAM_ADDRESS: expected one address of this machine, found 0.0.0.0"
    check_ports
    mkdir -p "$folder"
    chmod 711 "$folder" # PostgreSQL's user goes through it
    umask 077           # only the owner may read the rest, which holds passwords
    hold_lock
    trap 'code=$?; trap - EXIT; [ "$code" -eq 0 ] || { stop >&2 || true; }; exit "$code"' EXIT
    trap 'exit 130' INT TERM
    read_passwords
    echo "Starting PostgreSQL, Prefect, MLflow and a trial S3 server; all of it lies in $folder ..."
    start_postgres
    start_servers
    whole "$folder/team.env" <<TEXT
PREFECT_API_URL=$prefect
PREFECT_API_AUTH_STRING=$prefect_login
MLFLOW_TRACKING_URI=$mlflow
$(cat "$folder/s3.env")
TEXT
    cat <<TEXT

Ready. Prefect: ${prefect%/api}   MLflow: $mlflow   S3: $s3
Search with
    set -a; . $folder/team.env; set +a
    $bin/memnas search --set tracking.uri=$mlflow --set versioning.remote=s3://memnas/team
The S3 server keeps everything in memory and is for a trial only. \`scripts/team.sh stop\` ends what was started here.
TEXT
}

hold_lock() {
    exec 9>"$folder/.lock"
    flock -n 9 || fail "$folder: another scripts/team.sh is at work there; wait for it"
}

# end NAME: ends a process group, by force if it is still there after 20 seconds.
end() {
    local group i
    if running "$1"; then
        group=$(<"$folder/$1.pid")
        kill -TERM -- "-$group" 2>/dev/null || true
        for i in {1..100}; do
            kill -0 -- "-$group" 2>/dev/null || break
            [ "$i" -lt 100 ] || kill -KILL -- "-$group" 2>/dev/null || true
            sleep 0.2
        done
        echo "$1 has ended."
    fi
    rm -f "$folder/$1.pid"
}

# Prefect and MLflow end first, as they still write to the others.
stop() {
    local name
    for name in prefect mlflow moto; do end "$name"; done
    if postgres_running; then
        as_owner "$pg/pg_ctl" stop -w -m fast -D "$data" >/dev/null
        echo "postgres has ended."
    fi
    rm -f "$folder/team.env" "$folder/s3.env"
}

status() {
    local missing=0 name
    if postgres_running; then echo "postgres runs"; else echo "postgres does not run" && missing=1; fi
    for name in "prefect $prefect/health" "mlflow $mlflow/health" "moto $s3/moto-api/data.json"; do
        if running "${name% *}" && answers "${name#* }"; then
            echo "${name% *} answers at ${name#* }"
        else
            echo "${name% *} does not answer at ${name#* }" && missing=1
        fi
    done
    return "$missing"
}

pg=$(tools)
case "${1:-}" in
start) start ;;
stop)
    [ ! -d "$folder" ] || { hold_lock && stop; }
    ;;
status) status ;;
*)
    echo "usage: scripts/team.sh start|stop|status (settings are in its first lines)" >&2
    exit 2
    ;;
esac
