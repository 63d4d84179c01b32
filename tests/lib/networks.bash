# networks: what the files about networks share, beside common.bash.
#
#   networks_setup                   in file_setup: the image with tools, and the machine's own address (or nothing) in $HOST_ADDR
#   www_files                        what a web server serves from $CTR_HOME/www: "file", and the client's address at cgi-bin/addr
#   outside_start, outside_stop      a server outside of all containers (connections.py serve); its port is in $CTR_HOME/port
#   within NAME ARG…                 connections.py in a container's network namespace
#   address NAME                     a container's address
#   get URL, answers URL             what a web server says; whether it says anything
#   listens NAME PORT                whether a program of the container listens there, over TCP
#   helper_pid                       coracle-net of this file's store
#   helper_kill                      SIGKILL of it; returns when nothing of it is left, so that what answers from then on is its successor

CONNECTIONS=$TESTS_DIR/net/connections.py

networks_setup() {
    image busybox tools
    export HOST_ADDR
    HOST_ADDR=$(ip -4 -o addr show scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
}

www_files() {
    mkdir -p "$CTR_HOME/www/cgi-bin"
    printf '#!/bin/sh\necho\necho "$REMOTE_ADDR"\n' >"$CTR_HOME/www/cgi-bin/addr"
    chmod +x "$CTR_HOME/www/cgi-bin/addr"
    echo served >"$CTR_HOME/www/file"
}

outside_start() {
    python3 "$CONNECTIONS" serve >"$CTR_HOME/port" 3>&- &
    echo $! >"$CTR_HOME/server.pid"
    wait_for test -s "$CTR_HOME/port"
}
outside_stop() { kill "$(cat "$CTR_HOME/server.pid")"; }

within() {
    local pid
    pid=$(coracle inspect -f '{{.State.Pid}}' "$1")
    nsenter -t "$pid" -U --preserve-credentials -n python3 "$CONNECTIONS" "${@:2}"
}
address() { coracle inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }
get() { curl -sS --max-time "$(patience 30)" "$@"; }
answers() { curl -sS --max-time 5 "$1" >/dev/null 2>&1; }
listens() { coracle exec "$1" cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qE ":$(printf %04X "$2") 0+:0000 0A "; }
helper_pids() { pgrep -u "$(id -u)" -f "^coracle-net --run-root $XDG_RUNTIME_DIR/"; }
# the oldest is the warden
helper_pid() { pgrep -o -u "$(id -u)" -f "^coracle-net --run-root $XDG_RUNTIME_DIR/"; }
helper_kill() {
    local pids
    pids=$(helper_pids)
    kill -KILL "$(helper_pid)" # its loop goes with it
    wait_for have_ended $pids
}
# what has ended may be a zombie for ever, where the first process of the machine reaps nobody
have_ended() {
    local pid stat
    for pid; do
        { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || continue
        [[ ${stat##*) } == [ZX]* ]] || return 1
    done
}
