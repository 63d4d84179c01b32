#!/usr/bin/env bats
# network-servers: nginx, redis and postgres in containers, their clients, and what connections look like from both ends: bytes, ends,
# refusals, thousands of them, and 64 containers at once.
load ../lib/common
load ../lib/networks

file_setup() {
    networks_setup
    coracle network create servers >/dev/null
    outside_start
    head -c "${TEST_TRANSFER:-256M}" /dev/urandom >"$CTR_HOME/data"
}
file_teardown() {
    outside_stop
    coracle network rm servers >/dev/null
}
setup() {
    made=()
    serving=
}
teardown() {
    [ -z "$serving" ] || kill "$serving"
    [ "${#made[@]}" = 0 ] || coracle rm -f "${made[@]}" >/dev/null 2>&1
}

servers_tree() {
    local pg
    pg=$(postgres_dir)
    tools_tree "$1"
    add_programs "$1" nginx redis-server redis-cli
    mkdir -p "$1$pg/bin" "$1$pg/lib" "$1/usr/share/postgresql" "$1/usr/share/zoneinfo"
    add_programs "$1" "$pg"/bin/{initdb,postgres,psql}
    mv "$1"/usr/bin/{initdb,postgres,psql} "$1$pg/bin"
    cp -L "$pg"/lib/{plpgsql,dict_snowball}.so "$1$pg/lib"
    cp -rL "/usr/share/postgresql/$(basename "$pg")" "$1/usr/share/postgresql/"
    cp -L /usr/share/zoneinfo/{UTC,GMT} "$1/usr/share/zoneinfo/" 2>/dev/null || true
}
postgres_dir() { find /usr/lib/postgresql -mindepth 1 -maxdepth 1 2>/dev/null | sort -V | tail -1; }
server_image() {
    local program
    for program in nginx redis-server redis-cli "$(postgres_dir)/bin/postgres"; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
    image servers servers
}

# start NAME OPTION… IMAGE COMMAND…
start() {
    coracle run -d --name "$@" >/dev/null
    made+=("$1")
}
host_addr() { [ -n "$HOST_ADDR" ] || skip "this machine has no address but loopback"; }

@test "redis: a client finds the server by its name, and by an alias" {
    server_image
    start cache --network servers --network-alias store servers redis-server --save '' --protected-mode no
    wait_for coracle exec cache redis-cli ping
    run -0 coracle run --rm --network servers servers sh -c 'redis-cli -h cache set k v; redis-cli -h store get k; redis-cli -h cache -r 1000 incr n | tail -1'
    assert_output_has v
    assert_output_has 1000
}

@test "postgres: a client finds the server by its name" {
    server_image
    pg=$(postgres_dir)/bin
    start db --network servers --user alice --env LC_ALL=C servers sh -c \
        "$pg/initdb -N -D /tmp/db -A trust >/dev/null && echo 'host all all all trust' >>/tmp/db/pg_hba.conf && exec $pg/postgres -D /tmp/db -c listen_addresses='*' -c unix_socket_directories=/tmp -c dynamic_shared_memory_type=mmap"
    query=(coracle run --rm --network servers servers "$pg/psql" -h db -U alice -d postgres -Atc)
    answers() { "${query[@]}" 'select 1' >/dev/null 2>&1; }
    wait_for answers
    run -0 "${query[@]}" 'select 6*7; select inet_client_addr() <> inet_server_addr(); select count(*) from generate_series(1,200000)'
    assert_output_has 42
    assert_output_has t
    assert_output_has 200000
}

@test "nginx behind a published port: the access log shows the true client; loopback is the gateway" {
    server_image
    host_addr
    port=$(free_port)
    cat >"$CTR_HOME/nginx.conf" <<'C'
daemon off; error_log /dev/stderr; pid /tmp/pid; events {}
http { access_log /dev/stdout; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  server { listen 80; location / { return 200 "served\n"; } } }
C
    start web --network servers -p "$port:80" -v "$CTR_HOME/nginx.conf:/nginx.conf:ro" servers nginx -c /nginx.conf -e /dev/stderr -g 'user root;'
    wait_for curl -fsS --max-time 2 "http://127.0.0.1:$port/"
    assert_eq "$(curl -fsS --max-time "$(patience 30)" "http://$HOST_ADDR:$port/")" served
    wait_for eval "coracle logs web | grep -q '^$HOST_ADDR - '"
    run -0 coracle logs web
    assert_output_has "$(coracle inspect -f '{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}' web) - "
    refute_output_has '127.0.0.1 - '
}

@test "every byte arrives through a published port, both ways, and a half-closed connection still answers" {
    port=$(free_port)
    want=$(sha256sum <"$CTR_HOME/data")
    start bytes -p "$port:10" busybox socat TCP-LISTEN:10,fork,reuseaddr EXEC:sha256sum,nofork
    wait_for listens bytes 10
    assert_eq "$(socat -t 300 - "TCP:127.0.0.1:$port" <"$CTR_HOME/data")" "$want"
    coracle rm -f bytes >/dev/null
    start bytes -p "$port:11" -v "$CTR_HOME/data:/data:ro" busybox sh -c 'socat -u OPEN:/data,rdonly TCP-LISTEN:11,reuseaddr; sleep 1000'
    # it serves one connection: who finds it not listening yet is refused and comes again, who gets too little does not
    wait_for eval "[ \"\$(socat -u TCP:127.0.0.1:$port - | sha256sum)\" = '$want' ]"
}

@test "every byte arrives that goes out and comes back, and a half-closed connection still answers" {
    host_addr
    want=$(sha256sum <"$CTR_HOME/data")
    start out -v "$CTR_HOME/data:/data:ro" busybox sleep 1000
    assert_eq "$(coracle exec out sh -c "socat -t 300 - TCP:$HOST_ADDR:$(cat "$CTR_HOME/port") </data | sha256sum")" "$want"
}

@test "5,000 short connections in and 5,000 out, and not one fails" {
    host_addr
    port=$(free_port)
    start echo -p "$port:9" busybox sleep 1000
    within echo serve 9 >"$CTR_HOME/inside" 3>&- &
    wait_for test -s "$CTR_HOME/inside"
    serving=$(pgrep -P $!)
    run -0 python3 "$CONNECTIONS" short 5000 "$HOST_ADDR" "$port"
    assert_output_has '0 of 5000 failed'
    run -0 within echo short 5000 "$HOST_ADDR" "$(cat "$CTR_HOME/port")"
    assert_output_has '0 of 5000 failed'
}

@test "a container has its share of connections to the world, and the others have theirs" {
    host_addr
    [[ $(coracle info -f '{{.NetworkLevel}}') == *nfqueue ]] || skip "connections are not held here"
    coracle ps -aq | xargs -r coracle rm -f >/dev/null
    helper=$(helper_pid)
    [ -z "$helper" ] || helper_kill
    port=$(cat "$CTR_HOME/port")
    (ulimit -n 512 && coracle run -d --name greedy busybox sleep 1000) # by whom the helper has its limits: a share is 64
    made+=(greedy)
    start modest busybox sleep 1000
    mkfifo "$CTR_HOME/until"
    within greedy many 100 64 "$HOST_ADDR" "$port" <"$CTR_HOME/until" >"$CTR_HOME/many" 3>&- &
    exec 7>"$CTR_HOME/until"
    wait_for test -s "$CTR_HOME/many"
    assert_eq "$(cat "$CTR_HOME/many")" 64
    run -0 within modest mesh "$HOST_ADDR" "$port"
    exec 7>&-
    wait $!
    run -0 within greedy mesh "$HOST_ADDR" "$port"
}

@test "refused, unreachable and silent: connect says in a container what it says on the host" {
    host_addr
    start asks busybox sleep 1000
    closed=$(free_port)
    run -0 within asks outcome "$HOST_ADDR" "$closed"
    assert_eq "$output" "ECONNREFUSED in time"
    run -0 within asks outcome "$HOST_ADDR" "$(cat "$CTR_HOME/port")"
    assert_eq "$output" "connected in time"
    # one that nobody has, one behind the router that nobody has, one that no host may have
    to=("${HOST_ADDR%.*}.251" 198.51.100.1 240.0.0.1) pids=()
    for i in 0 1 2; do
        within asks outcome "${to[i]}" 80 >"$CTR_HOME/inside.$i" 3>&- &
        pids+=($!)
        python3 "$CONNECTIONS" outcome "${to[i]}" 80 >"$CTR_HOME/outside.$i" 3>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    for i in 0 1 2; do assert_eq "${to[i]} $(cat "$CTR_HOME/inside.$i")" "${to[i]} $(cat "$CTR_HOME/outside.$i")"; done
    run -0 within asks outcome 2001:db8::1 80 # a family that the network has not
    assert_eq "$output" "ENETUNREACH in time"
}

@test "64 containers on one network reach the way out, over TCP and UDP, and each other" {
    host_addr
    for i in $(seq 64); do start "many$i" --network servers busybox sleep 1000; done
    addresses=()
    for i in $(seq 64); do addresses+=("$(address "many$i")"); done
    assert_eq "$(printf '%s\n' "${addresses[@]}" | sort -u | wc -l)" 64
    pids=()
    for i in $(seq 64); do
        # not all pairs: 64 times 63 are more than the kernel's table of neighbours holds for the whole machine
        some=()
        for k in 1 2 4 8 16 32; do some+=("${addresses[$(((i + k) % 64))]}"); done
        within "many$i" mesh "$HOST_ADDR" "$(cat "$CTR_HOME/port")" "${some[@]}" >"$CTR_HOME/mesh.$i" 2>&1 3>&- &
        pids+=($!)
        [ $((i % 8)) != 0 ] || { wait "${pids[@]}" || true; pids=(); }
    done
    assert_eq "$(cat "$CTR_HOME"/mesh.* | sort | uniq -c | sed 's/^ *//')" "64 all there"
}
