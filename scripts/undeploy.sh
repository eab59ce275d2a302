#!/usr/bin/env bash
# Ends the worker and the server that scripts/deploy.sh started, and before them the searches that run in the worker,
# which the next run continues.
set -euo pipefail
cd "$(dirname "$0")/.."

# end GROUP: ends a process group, by force if it is still there after 20 seconds.
end() {
    kill -TERM -- "-$1" 2>/dev/null || return 0
    for _ in {1..40}; do
        kill -0 -- "-$1" 2>/dev/null || return 0
        sleep 0.5
    done
    kill -KILL -- "-$1" 2>/dev/null || true
}

for name in worker server; do
    file=store/deploy/$name.pid
    [ -s "$file" ] || continue
    pid=$(<"$file")
    if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q prefect; then
        # Each search leads its own process group; ended before the worker, it can still tell the server that it stopped.
        for child in $(cat "/proc/$pid/task/"*/children); do end "$child"; done
        end "$pid"
        echo "The Prefect $name has ended."
    fi
    rm "$file"
done
