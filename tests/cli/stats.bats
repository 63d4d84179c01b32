#!/usr/bin/env bats
# stats: docker's columns, one-shot and streaming, from cgroups or from /proc.
load ../lib/common
load ../lib/cgroups

file_setup() {
    image busybox
    coracle run -d --network none --name busy busybox sh -c 'while :; do :; done'
    coracle run -d --network none --name idle busybox sleep 1000
    coracle run --network none --name ended busybox true
}
file_teardown() { coracle rm -f busy idle ended; }

one() { coracle stats --no-stream --format "$@"; }
# uses CONTAINER: whether it had some processor time in the moment of the measurement. On a busy machine that may be another moment.
uses() { one '{{.CPUPerc}}' "$1" | awk '{ exit !(substr($0, 1, length($0) - 1) > 1) }'; }

@test "--no-stream shows one table with docker's columns, of what runs" {
    run -0 coracle stats --no-stream
    assert_eq "$(sed 's/  */ /g' <<<"${lines[0]}")" "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS"
    [ "${#lines[@]}" = 3 ] || fail "two rows"
    [[ ${lines[1]} =~ ^[0-9a-f]{12}\ +idle\ +[0-9.]+%\ +[0-9.]+[KM]?i?B\ /\ [0-9.]+[GM]iB\ +[0-9.]+%\ +0B\ /\ 0B\ +[0-9.]+[kMG]?B\ /\ [0-9.]+[kMG]?B\ +1$ ]] ||
        fail "not docker's row"
}

@test "processor time is measured: a loop uses some, a sleeper none" {
    wait_for uses busy || fail "busy: $(one '{{.CPUPerc}}' busy)"
    idle=$(one '{{.CPUPerc}}' idle)
    awk -v p="${idle%\%}" 'BEGIN { exit !(p < 5) }' || fail "idle: $idle"
}

@test "processor time of processes that have ended counts" {
    name=$(unique)
    coracle run -d --network none --name "$name" busybox sh -c 'while :; do sh -c "i=0; while [ \$i -lt 20000 ]; do i=\$((i+1)); done"; done'
    wait_for uses "$name" || fail "used: $(one '{{.CPUPerc}}' "$name")"
    coracle rm -f "$name"
}

@test "memory that is used is seen, and the tasks of every process" {
    name=$(unique)
    coracle run -d --network none --name "$name" busybox sh -c 'x=$(head -c 30000000 /dev/zero | tr "\0" x); sleep 1000 & sleep 1001 & wait'
    wait_for sh -c "coracle top $name | grep -q 'sleep 1001\$'"
    run -0 one '{{.MemUsage}}|{{.PIDs}}' "$name"
    [[ $output =~ ^([0-9.]+)MiB\ /\ .*\|3$ ]] || fail "not 3 tasks with megabytes"
    awk -v m="${BASH_REMATCH[1]}" 'BEGIN { exit !(m > 25 && m < 400) }' || fail "memory"
    coracle rm -f "$name"
}

# The figures of one container, from whatever there is to read them from.
figures() {
    local name
    name=$(unique)
    in_setup "$1" coracle run -d --network none --name "$name" -m 300m busybox sh -c 'x=$(head -c 30000000 /dev/zero | tr "\0" x); sleep 1000 & while :; do :; done' 2>/dev/null
    wait_for sh -c "coracle top $name | grep -q 'sleep 1000\$'"
    wait_for uses "$name" || fail "$1: $(one '{{.CPUPerc}}' "$name")"
    run -0 one '{{.MemUsage}} {{.MemPerc}} {{.PIDs}}' "$name"
    [[ $output =~ ^([0-9.]+)MiB\ /\ 300MiB\ ([0-9.]+)%\ 2$ ]] || fail "$1: not two tasks of 300 MiB"
    awk -v mem="${BASH_REMATCH[1]}" -v part="${BASH_REMATCH[2]}" \
        'BEGIN { exit !(mem > 25 && mem < 300 && part > mem / 3 - 0.1 && part < mem / 3 + 0.1) }' || fail "$1: $output"
    coracle rm -f "$name"
}

@test "in every cgroup set-up: processor time, memory with its limit and its share, processes" {
    local setup hybrid=
    [ -z "$(v1_dirs)" ] || ! v2_dir >/dev/null || hybrid=hybrid
    for setup in $(setups) $hybrid; do figures "$setup"; done
}

@test "network traffic is counted, without lo" {
    name=$(unique)
    coracle run -d --name "$name" busybox sh -c 'ping -c 1 127.0.0.1 >/dev/null; ping -c 5 -i 0.1 -s 1000 10.88.255.254 >/dev/null 2>&1; ip -s link >/dev/null; while :; do echo x | nc -u -w 1 192.0.2.1 9; done'
    seen() { [ "$(one '{{.NetIO}}' "$name")" != "0B / 0B" ]; }
    wait_for seen || fail "$(one '{{.NetIO}}' "$name")"
    coracle rm -f "$name"
}

@test "--all has those that do not run, with zeros; --no-trunc whole ids; names choose" {
    run -0 coracle stats --no-stream -a --format json
    [ "${#lines[@]}" = 3 ]
    id=$(coracle inspect -f '{{.Id}}' ended)
    assert_output_has "{\"BlockIO\":\"0B / 0B\",\"CPUPerc\":\"0.00%\",\"Container\":\"${id:0:12}\",\"ID\":\"${id:0:12}\",\"MemPerc\":\"0.00%\",\"MemUsage\":\"0B / 0B\",\"Name\":\"ended\",\"NetIO\":\"0B / 0B\",\"PIDs\":\"0\"}"
    run -0 one '{{.Container}} {{.ID}} {{.Name}}' --no-trunc "${id:0:6}" idle
    assert_eq "$output" "${id:0:6} $id ended"$'\n'"idle $(coracle inspect -f '{{.Id}}' idle) idle"
}

@test "streams a table a second, and SIGINT ends it" {
    coracle stats --format '{{.Name}} {{.CPUPerc}}' busy >"$CTR_HOME/stream" &
    pid=$!
    enough() { [ "$(wc -l <"$CTR_HOME/stream")" -ge 3 ]; }
    wait_for enough || { kill $pid; fail "$(cat "$CTR_HOME/stream")"; }
    kill -TERM $pid
    wait $pid && fail "it says that all is well" || code=$?
    assert_eq "$code" 143
    assert_eq "$(head -1 "$CTR_HOME/stream")" "busy --"
    [[ $(sed -n 2p "$CTR_HOME/stream") =~ ^busy\ [0-9.]+%$ ]] || fail "$(cat "$CTR_HOME/stream")"
}

@test "in a terminal the table is drawn anew in place" {
    script -qfc 'coracle stats idle' "$CTR_HOME/screen" >/dev/null 2>&1 </dev/null &
    wait_for grep -qF $'\033[J' "$CTR_HOME/screen" # the second drawing
    kill $!
    run -0 cat "$CTR_HOME/screen"
    assert_output_has $'\033[2J\033[H'
    assert_output_has $'\033[K'
    assert_output_has $'\033[J'
}

@test "a stream over a container that is removed ends" {
    name=$(unique)
    coracle run -d --network none --name "$name" busybox sleep 1000
    timeout "$(patience 20)" coracle stats "$name" --format '{{.Name}}' >"$CTR_HOME/removed" &
    pid=$!
    wait_for grep -q "$name" "$CTR_HOME/removed"
    coracle rm -f "$name"
    wait $pid
}

@test "names that are none and wrong formats are errors" {
    run -1 coracle stats --no-stream nobody-is-called-so
    assert_output_has "No such container: nobody-is-called-so"
    run -1 coracle stats --no-stream --format '{{.Nope}}'
    run -1 coracle stats --no-stream --format '{{.Name'
}
