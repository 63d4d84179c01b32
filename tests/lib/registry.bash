# registry.bash: registries for tests. Source it; every function is documented here.
#
#   registry_dir DIR                 where all of the below keep their files (default, in a bats file: $BATS_FILE_TMPDIR/registry)
#   registry_start NAME [plain|tls|basic|tls-basic]
#                                    a docker-registry of its own on a free port of 127.0.0.1; its address ("localhost:PORT")
#                                    is then in $REGISTRY and given by registry_addr NAME. basic: user "tester", password "secret"
#   registry_addr NAME               prints "localhost:PORT"
#   registry_ca                      prints the path of the CA certificate that the TLS ones are signed by
#   registry_stop NAME               ends it;  registry_stop_all ends all that were started here (call it in teardown)
#   registry_push NAME LAYOUT[:TAG] REPO:TAG
#                                    copies an image of an OCI layout (or docker-archive:…, dir:…) into a registry, by skopeo
#   registry_tiny_layout DIR [TAG]   makes an OCI layout with a two-layer busybox image of a few hundred kB
#
#   proxy_start NAME REGISTRY_NAME [faultproxy.py's options]   a fault proxy before a (plain) registry; address as registry_addr NAME
#   proxy_fault NAME JSON            sets its rules (see faultproxy.py);  proxy_log NAME  prints its request log as JSON
#   proxy_expire NAME                makes it forget the tokens that it gave out
#   scripted_start NAME [--tls]      a scriptedregistry.py; address as registry_addr NAME
#   scripted_set NAME [JSON]         its rules and ways (see there); its log begins anew
#   scripted_log NAME [FILTER]       its log, through jq -r
#   docker_auth DIR ADDR USER:PASSWORD [identity-token]
#                                    writes DIR/config.json with credentials, as docker login does
#
# Needs: docker-registry skopeo openssl apache2-utils python3 busybox-static.

REGISTRY_LIB=${BASH_SOURCE[0]%/*}
REGISTRY_BASE=${BATS_FILE_TMPDIR:+$BATS_FILE_TMPDIR/registry}

registry_dir() {
    REGISTRY_BASE=$1
    mkdir -p "$REGISTRY_BASE"
}

_registry_home() {
    [ -n "$REGISTRY_BASE" ] || registry_dir "$(mktemp -d)/registry"
}

# _registry_wait LOG PATTERN PID: prints the first match's last word
_registry_wait() {
    local line end=$((SECONDS + 60 * ${TEST_PATIENCE:-1}))
    while [ $SECONDS -lt $end ]; do
        line=$(grep -o -m1 -E "$2" "$1" 2>/dev/null) && { printf '%s\n' "${line##*[ :]}"; return 0; }
        kill -0 "$3" 2>/dev/null || break
        sleep 0.025
    done
    cat "$1" >&2
    return 1
}

registry_ca() {
    _registry_home
    local d=$REGISTRY_BASE/ca
    if [ ! -e "$d/server.crt" ]; then
        mkdir -p "$d"
        openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=coracle test CA" \
            -keyout "$d/ca.key" -out "$d/ca.crt" 2>/dev/null
        openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout "$d/server.key" -out "$d/server.csr" 2>/dev/null
        openssl x509 -req -in "$d/server.csr" -CA "$d/ca.crt" -CAkey "$d/ca.key" -CAcreateserial -days 30 \
            -extfile <(echo "subjectAltName=DNS:localhost,DNS:registry.test,IP:127.0.0.1,IP:::1") \
            -out "$d/server.crt" 2>/dev/null
    fi
    echo "$d/ca.crt"
}

registry_start() {
    local name=$1 kind=${2:-plain} d port
    _registry_home
    d=$REGISTRY_BASE/$name
    mkdir -p "$d/data"
    {
        echo "version: 0.1"
        echo "log: {level: info, accesslog: {disabled: true}}"
        echo "storage: {filesystem: {rootdirectory: $d/data}, delete: {enabled: true}}"
        echo "http:"
        echo "  addr: 127.0.0.1:0"
        case $kind in tls*)
            registry_ca >/dev/null
            echo "  tls: {certificate: $REGISTRY_BASE/ca/server.crt, key: $REGISTRY_BASE/ca/server.key}" ;;
        esac
        case $kind in *basic)
            htpasswd -Bbn tester secret >"$d/htpasswd" 2>/dev/null
            echo "auth: {htpasswd: {realm: test, path: $d/htpasswd}}" ;;
        esac
    } >"$d/config.yml"
    : >"$d/log"
    docker-registry serve "$d/config.yml" >"$d/log" 2>&1 3>&- &
    echo $! >"$d/pid"
    port=$(_registry_wait "$d/log" 'listening on [^" ,]*:[0-9]+' "$!") || return 1
    REGISTRY=localhost:$port
    echo "$REGISTRY" >"$d/addr"
}

registry_addr() {
    _registry_home
    cat "$REGISTRY_BASE/$1/addr"
}

registry_stop() {
    _registry_home
    local pid
    pid=$(cat "$REGISTRY_BASE/$1/pid" 2>/dev/null) || return 0
    rm -f "$REGISTRY_BASE/$1/pid"
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    return 0
}

registry_stop_all() {
    _registry_home
    local f
    for f in "$REGISTRY_BASE"/*/pid; do
        [ -e "$f" ] && registry_stop "$(basename "$(dirname "$f")")"
    done
    return 0
}

registry_push() {
    local src=$2 creds=()
    case $src in *:*/* | docker-archive:* | dir:* | oci:*) ;; *) src=oci:$src ;; esac
    [ -e "$REGISTRY_BASE/$1/htpasswd" ] && creds=(--dest-creds tester:secret)
    skopeo --insecure-policy copy -q --all --dest-tls-verify=false "${creds[@]}" "$src" "docker://$(registry_addr "$1")/$3"
}

registry_tiny_layout() {
    python3 "$REGISTRY_LIB/mklayout.py" "$1" "${2:-latest}"
}

proxy_start() {
    local name=$1 upstream d port
    upstream=$(registry_addr "$2") || return 1
    shift 2
    case " $* " in *" --tls "*) mkdir -p "$REGISTRY_BASE/$name" && touch "$REGISTRY_BASE/$name/is-tls" ;; esac
    d=$REGISTRY_BASE/$name
    mkdir -p "$d"
    : >"$d/log" # one of the same name may have been here before
    python3 "$REGISTRY_LIB/faultproxy.py" --upstream "127.0.0.1:${upstream##*:}" "$@" >"$d/log" 2>&1 3>&- &
    echo $! >"$d/pid"
    port=$(_registry_wait "$d/log" 'listening on [0-9]+' "$!") || return 1
    REGISTRY=localhost:$port
    echo "$REGISTRY" >"$d/addr"
}

_proxy_url() {
    local scheme=http
    [ -e "$REGISTRY_BASE/$1/is-tls" ] && scheme=https
    echo "$scheme://$(registry_addr "$1")"
}

proxy_fault() { curl -sfk -d "$2" "$(_proxy_url "$1")/_fault" >/dev/null; }
proxy_log() { curl -sfk "$(_proxy_url "$1")/_log"; }
proxy_expire() { curl -sfk -d '' "$(_proxy_url "$1")/_expire" >/dev/null; }

scripted_start() {
    _registry_home
    local name=$1 d=$REGISTRY_BASE/$1 port tls=()
    mkdir -p "$d"
    if [ "${2:-}" = --tls ]; then
        registry_ca >/dev/null
        tls=(--tls "$REGISTRY_BASE/ca/server.crt" "$REGISTRY_BASE/ca/server.key")
        touch "$d/is-tls"
    fi
    : >"$d/log"
    python3 "$REGISTRY_LIB/scriptedregistry.py" "${tls[@]}" >"$d/log" 2>&1 3>&- &
    echo $! >"$d/pid"
    port=$(_registry_wait "$d/log" 'listening on [0-9]+' "$!") || return 1
    REGISTRY=localhost:$port
    echo "$REGISTRY" >"$d/addr"
}
scripted_set() { curl -sfk -d "${2:-{\}}" "$(_proxy_url "$1")/_set" >/dev/null; }
scripted_log() { curl -sfk "$(_proxy_url "$1")/_log" | jq -r "${2:-.}"; }

docker_auth() {
    mkdir -p "$1"
    if [ -n "$4" ]; then
        printf '{"auths":{"%s":{"identitytoken":"%s"}}}\n' "$2" "$4" >"$1/config.json"
    else
        printf '{"auths":{"%s":{"auth":"%s"}}}\n' "$2" "$(printf %s "$3" | base64 -w0)" >"$1/config.json"
    fi
    chmod 600 "$1/config.json"
}
