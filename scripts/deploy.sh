#!/usr/bin/env bash
# Makes memnas-search/local runnable: starts a Prefect server on this machine (unless one already answers) and a worker,
# and creates the work pool memnas-local and the deployment of prefect.yaml. Server and worker keep running;
# scripts/undeploy.sh ends them.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/environment.sh
. scripts/environment.sh
# shellcheck source=scripts/services.sh
. scripts/services.sh

state=store/deploy # pid files and logs
bin=.venv/bin
pool=memnas-local
advice=". End what is left with make undeploy."
mkdir -p "$state"

fail() {
    echo "error: $1" >&2
    exit 1
}

# Exit status: 0 Prefect answers at the URL, 1 nothing listens there, 2 something else does.
probe() {
    "$bin/python" - "$1" <<'PYTHON'
import sys
import urllib.error
import urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    with opener.open(f"{sys.argv[1]}/health", timeout=5) as response:
        sys.exit(0 if response.read().strip() == b"true" else 2)
except urllib.error.HTTPError:
    sys.exit(2)
except urllib.error.URLError as error:
    sys.exit(1 if isinstance(error.reason, ConnectionRefusedError) else 2)
except (OSError, ValueError):
    sys.exit(2)
PYTHON
}

# running NAME: whether the process of NAME's pid file lives and is Prefect's (the system reuses pids).
running() {
    [ -s "$state/$1.pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$(<"$state/$1.pid")/cmdline" | grep -q prefect
}

url=$("$bin/python" -c 'from prefect.settings import PREFECT_API_URL as url; print(url.value() or "")')
url=${url:-http://127.0.0.1:${MEMNAS_PREFECT_PORT:-4200}/api}
export PREFECT_API_URL=$url

answer=0
probe "$url" || answer=$?
if [ "$answer" -eq 0 ]; then
    echo "A Prefect server answers at $url."
elif [[ ! $url =~ ^http://(127\.0\.0\.1|localhost):([0-9]+)/api$ ]]; then
    fail "no Prefect server answers at $url (PREFECT_API_URL); start it, or unset the variable to get one on this machine."
elif [ "$answer" -eq 2 ]; then
    fail "port ${BASH_REMATCH[2]} is taken by something that is no Prefect server; free it, or choose another: MEMNAS_PREFECT_PORT=4201 make deploy"
else
    echo "Starting a Prefect server at $url ..."
    # By default the scripts of any web page opened on this machine could start runs on the server.
    export PREFECT_SERVER_CORS_ALLOWED_ORIGINS=${PREFECT_SERVER_CORS_ALLOWED_ORIGINS:-${url%/api}}
    launch server "$bin/prefect" server start --host 127.0.0.1 --port "${BASH_REMATCH[2]}"
    await server "$advice" probe "$url"
fi

# quietly COMMAND...: runs a command and shows only its errors; Prefect's hints would suggest what is already done.
quietly() {
    local said
    said=$("$@" 2>&1) || fail "$* failed: $said"
}

if ! "$bin/prefect" work-pool inspect "$pool" >/dev/null 2>&1; then
    quietly "$bin/prefect" work-pool create --type process "$pool"
fi
quietly env -u MEMNAS_ROOT "$bin/prefect" --no-prompt deploy --all

if running worker; then
    echo "A worker is running already."
else
    MEMNAS_ROOT=$PWD launch worker "$bin/prefect" worker start --pool "$pool" --type process
    await worker "$advice" grep -qs "started!" "$state/worker.log"
fi

cat <<TEXT

Ready. Run a search with
    PREFECT_API_URL=$url $bin/prefect deployment run memnas-search/local --watch
and watch it at ${url%/api}. Logs are in $state. \`make undeploy\` ends what was started here.
TEXT
