#!/usr/bin/env bats
# events: the journal of what happened: replay, following, filters, forms, and what damage does to it.
load ../lib/common

file_setup() { image busybox; }

# actions NAME: what happened to a container, one word a line
actions() { coracle events --since 1h --until 0s -f container="$1" --format '{{.Action}}'; }

# A listener's only sign that it listens is its watch.
listens() { grep -qs inotify "/proc/$1/fdinfo/"*; }

@test "run --rm tells create, attach, start, die and destroy, in that order, with docker's attributes" {
    name=$(unique)
    before=$(date +%s%3N)
    run -3 coracle run --rm --network none --name "$name" --label colour=blue busybox sh -c 'exit 3'
    took=$(($(date +%s%3N) - before))
    assert_eq "$(actions "$name" | xargs)" "create attach start die destroy"
    run -0 coracle events --since 1h --until 0s -f container="$name" -f event=die
    [[ $output =~ ^[0-9-]{10}T[0-9:]{8}\.[0-9]{9}(Z|[+-][0-9:]{5})\ container\ die\ [0-9a-f]{64}\ \(colour=blue,\ execDuration=([0-9]+),\ exitCode=3,\ image=busybox,\ name=$name\)$ ]] ||
        fail "not docker's line"
    [ $((BASH_REMATCH[2] * 1000)) -le $took ] || fail "it took $took ms"
}

@test "kill, stop, restart, rename and rm say so" {
    name=$(unique)
    coracle run -d --network none --name "$name" busybox sh -c 'trap "" USR1; trap "exit 0" TERM; while :; do sleep 0.1; done'
    wait_for coracle exec "$name" sh -c 'grep -q "SigIgn.*[2367abef]..$" /proc/1/status'
    coracle kill -s USR1 "$name"
    coracle restart "$name"
    coracle rename "$name" "$name-2"
    coracle rm -f "$name-2"
    run -0 coracle events --since 1h --until 0s -f container="$name" -f event=kill -f event=stop -f event=die -f event=start \
        -f event=restart -f event=rename -f event=destroy --format '{{.Action}}{{with .Actor.Attributes.signal}}:{{.}}{{end}}'
    assert_eq "$(xargs <<<"$output" | sed 's/kill:15 die stop/STOPPED/;s/kill:9 die stop/STOPPED/;s/kill:15 kill:9 die stop/STOPPED/')" \
        "start kill:10 STOPPED start restart rename kill:9 die destroy"
    run -0 coracle events --since 1h --until 0s -f event=rename --format '{{.Actor.Attributes.oldName}} {{.Actor.Attributes.name}}'
    assert_output_has "/$name $name-2"
}

@test "exec tells what it ran and how that ended" {
    name=$(unique)
    coracle run -d --network none --name "$name" busybox sleep 1000
    run -4 coracle exec "$name" sh -c 'exit 4'
    run -0 coracle events --since 1h --until 0s -f container="$name" -f event=exec_create -f event=exec_start
    assert_output_has "container exec_create: sh -c exit 4 "
    assert_output_has "container exec_start: sh -c exit 4 "
    run -0 coracle events --since 1h --until 0s -f container="$name" -f event=exec_die --format '{{.Actor.Attributes.exitCode}} {{len .Actor.Attributes.execID}}'
    assert_eq "$output" "4 64"
    coracle rm -f "$name"
}

@test "what follows hears an event when it happens, from every process" {
    name=$(unique)
    coracle events -f container="$name" --format '{{.Action}}' >"$CTR_HOME/heard" &
    listener=$!
    wait_for listens $listener || { kill $listener; fail "it does not listen"; }
    coracle run --rm --network none --name "$name" busybox true
    wait_for grep -qx destroy "$CTR_HOME/heard" || { kill $listener; fail "heard: $(xargs <"$CTR_HOME/heard")"; }
    kill $listener
    wait $listener || true
    assert_eq "$(xargs <"$CTR_HOME/heard")" "create attach start die destroy"
}

@test "--until in the future ends the wait then" {
    run -0 timeout 25 coracle events --until "$(date -u -d '+1 second' +%Y-%m-%dT%H:%M:%SZ)" -f type=nothing
    assert_eq "$output" ""
}

@test "--format json is docker's object, with the older members for containers and images only" {
    name=$(unique)
    coracle create --network none --name "$name" busybox true
    coracle network create "$name"
    coracle network rm "$name"
    coracle rm "$name"
    run -0 coracle events --since 1h --until 0s -f container="$name" -f event=create --format json
    [[ $output =~ ^\{\"status\":\"create\",\"id\":\"[0-9a-f]{64}\",\"from\":\"busybox\",\"Type\":\"container\",\"Action\":\"create\",\"Actor\":\{\"ID\":\"[0-9a-f]{64}\",\"Attributes\":\{\"image\":\"busybox\",\"name\":\"$name\"\}\},\"scope\":\"local\",\"time\":[0-9]{10},\"timeNano\":[0-9]{19}\}$ ]] ||
        fail "not docker's object"
    assert_eq "$(coracle events --since 1h --until 0s -f container="$name" -f event=create --format '{{json .}}')" "$output"
    run -0 coracle events --since 1h --until 0s -f network="$name" --format json
    [ "${#lines[@]}" = 2 ] || fail "create and destroy of the network"
    [[ ${lines[0]} == '{"Type":"network","Action":"create",'* ]] || fail "not docker's object"
}

@test "filters: of one key one value is enough, of different keys all must hold, labels must all be there" {
    a=$(unique) b=$(unique)
    coracle create --network none --name "$a" -l x=1 -l y=2 busybox true
    coracle create --network none --name "$b" -l x=1 busybox true
    coracle rm "$a" "$b"
    count() { coracle events --since 1h --until 0s --format '{{.Action}}' "$@" | wc -l; }
    assert_eq "$(count -f container="$a" -f container="$b")" 4
    assert_eq "$(count -f container="$a" -f event=create)" 1
    assert_eq "$(count -f container="$a" -f container="$b" -f label=x=1 -f label=y)" 2
    assert_eq "$(count -f container="$a" -f type=image)" 0
    assert_eq "$(count -f container="$a" -f image=busybox)" 2
    assert_eq "$(count -f container="$a" -f image=other)" 0
    assert_eq "$(count -f container="$a" -f scope=local)" 2
    assert_eq "$(count -f network=none -f container="$a")" 0
}

@test "images: tag, untag and delete" {
    coracle tag busybox "$(unique)":new
    tag=$(coracle events --since 1h --until 0s -f type=image -f event=tag --format '{{.Actor.Attributes.name}}' | tail -1)
    assert_eq "${tag##*:}" new
    coracle rmi "$tag"
    run -0 coracle events --since 1h --until 0s -f type=image --format '{{.Action}} {{slice .Actor.ID 0 7}}'
    assert_eq "${lines[-1]}" "untag sha256:"
}

@test "bad filters, times and templates are errors" {
    run -1 coracle events -f nope=1
    assert_output_has "invalid filter 'nope'"
    run -125 coracle events -f nope
    assert_output_has "bad format of filter"
    run -1 coracle events --since yesterday
    run -1 coracle events --since 1s --until 1h
    assert_output_has 'cannot be after `until` time'
    run -64 coracle events --format '{{.Type'
    run -1 coracle events x
    assert_output_has "accepts no arguments"
}

@test "what a crash tore and others scribbled is skipped, and what comes after it is heard" {
    name=$(unique)
    printf '{"Type":"container","Action":"cre' >>"$STORE/events.jsonl"
    coracle create --network none --name "$name" busybox true
    printf '\0\xff[1,2]\n{"Type":7}\nrubbish\n' >>"$STORE/events.jsonl"
    coracle rm "$name"
    assert_eq "$(actions "$name" | xargs)" "create destroy"
}

@test "the journal is bounded: it is rotated, read across the rotation, and followers go on" {
    name=$(unique)
    coracle create --network none --name "$name" busybox true
    coracle events -f container="$name" --format '{{.Action}}' >"$CTR_HOME/rotated" &
    listener=$!
    wait_for listens $listener || { kill $listener; fail "it does not listen"; }
    head -c 1048576 /dev/zero | tr '\0' '\n' >>"$STORE/events.jsonl"
    coracle rename "$name" "$name-b"
    [ -e "$STORE/events.jsonl.1" ] || fail "not rotated"
    coracle rm "$name-b"
    [ "$(stat -c %s "$STORE/events.jsonl")" -lt 100000 ] || fail "the new file is large"
    assert_eq "$(actions "$name" | xargs)" "create rename destroy"
    wait_for grep -qx destroy "$CTR_HOME/rotated" || { kill $listener; fail "heard: $(xargs <"$CTR_HOME/rotated")"; }
    kill $listener
    wait $listener || true
    assert_eq "$(xargs <"$CTR_HOME/rotated")" "rename destroy"
}

@test "200 events of 20 processes at once are all whole" {
    before=$(coracle events --since 1h --until 0s -f event=tag | wc -l)
    pids=()
    for i in $(seq 20); do
        (for k in $(seq 10); do coracle tag busybox "many:$i-$k"; done) &
        pids+=($!)
    done
    wait "${pids[@]}"
    assert_eq "$(coracle events --since 1h --until 0s -f event=tag | wc -l)" $((before + 200))
}

@test "a read-only or full store loses the event, not the command" {
    name=$(unique)
    coracle create --network none --name "$name" busybox true
    rm -f "$STORE/events.jsonl"
    ln -s /nowhere/at/all "$STORE/events.jsonl"
    run -0 coracle rm "$name"
    assert_eq "$output" "$name"
    rm "$STORE/events.jsonl"
}
