# What the services that scripts start find in their environment; scripts source this.

# Nothing phones home.
export DO_NOT_TRACK=true
export PREFECT_SERVER_ANALYTICS_ENABLED=false
export MLFLOW_DISABLE_TELEMETRY=true
export DVC_NO_ANALYTICS=1
export RAY_USAGE_STATS_ENABLED=0

# Python looks for no modules in the folder that it is started in.
export PYTHONSAFEPATH=1

# The way to this machine's own servers needs no proxy. Some programs read the second name only where the first is missing.
export no_proxy="${no_proxy:-${NO_PROXY:-}}"
export NO_PROXY="${NO_PROXY:-$no_proxy}"
loopback=127.0.0.1,localhost,::1
[ "$no_proxy" = '*' ] || no_proxy="${no_proxy:+$no_proxy,}$loopback"
[ "$NO_PROXY" = '*' ] || NO_PROXY="${NO_PROXY:+$NO_PROXY,}$loopback"
