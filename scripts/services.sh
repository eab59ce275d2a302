# How scripts start services that stay, and wait for them; scripts source this. A service has a log and a pid file in
# the folder $state.

# launch NAME COMMAND...: starts a command in its own process group, so that Ctrl-C here does not reach it and its end
# takes its children along. Job control also avoids the ignored SIGINT of `&`, with which flow runs could not be
# interrupted. File 9 is a lock that only the script may hold.
launch() {
    local name=$1
    shift
    set -m
    nohup "$@" </dev/null >"$state/$name.log" 2>&1 9>&- &
    echo $! >"$state/$name.pid"
    set +m
}

# await NAME ADVICE TEST...: waits until TEST holds; shows the log if the service ends before that or takes too long.
await() {
    local name=$1 advice=$2 begun=$SECONDS told=
    shift 2
    until "$@"; do
        # Its command line says nothing yet: in its first moments the process is a copy of this script.
        if ! kill -0 "$(<"$state/$name.pid")" 2>/dev/null || [ $((SECONDS - begun)) -ge 180 ]; then
            tail -n 15 "$state/$name.log" >&2
            fail "$name did not start; its log is $state/$name.log$advice"
        fi
        if [ -z "$told" ] && [ $((SECONDS - begun)) -ge 25 ]; then
            told=yes
            echo "$name has not answered for 25 s; it may still be starting, and has 180 s in all. Its log is $state/$name.log" >&2
        fi
        sleep 0.3
    done
}
