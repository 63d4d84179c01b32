#!/usr/bin/env bats
# --log-driver and --log-opt: local, journald, syslog, passthrough; compression, details, tags, modes; what is refused.
load ../lib/common

file_setup() { image busybox; }
setup() { T=$BATS_TEST_TMPDIR; sinks=() journal=; }
unsink() {
    local p
    for p in "${sinks[@]}"; do
        kill -KILL "$p" 2>/dev/null || continue
        wait "$p" 2>/dev/null || true
    done
    sinks=()
}
teardown() {
    unsink
    [ -z "$journal" ] || rm -f "$journal"
    coracle ps -aq | xargs -r coracle rm -f >/dev/null
}

logdir() { echo "$STORE/containers/$(coracle inspect -f '{{.Id}}' "$1")"; }
# packed CONTAINER N: whether all that was rotated is compressed, and there are N files. A file that rotation takes while it is compressed
# is there once more for a moment.
packed() {
    local dir
    dir=$(logdir "$1")
    [ -z "$(find "$dir" -maxdepth 1 -name 'log.*' ! -name 'log.*.gz')" ] && [ "$(find "$dir" -maxdepth 1 -name 'log*' | wc -l)" = "$2" ]
}

# sink KIND ADDRESS: starts a log daemon that writes to $T/sink; its port is in $port
sink() {
    unsink
    : >"$T/sink"
    coproc SINK { exec 3>&-; exec "$TESTS_DIR/lib/logsink.py" "$1" "$2" "$T/sink"; }
    # shellcheck disable=SC2153 # made by coproc
    sinks+=("$SINK_PID")
    read -r _ port <&"${SINK[0]}"
}
received() { tr '\0' '\n' <"$T/sink" | grep -aqE "$1"; }

@test "local is docker's format: two lengths around a protobuf message" {
    coracle run --name form --log-driver local busybox sh -c 'echo out; echo err >&2; printf rest' >/dev/null 2>&1
    python3 - "$(logdir form)/log" <<'P'
import struct, sys
data, at, seen = open(sys.argv[1], "rb").read(), 0, []
def varint(b, i):
    v = s = 0
    while True:
        v |= (b[i] & 127) << s; s += 7; i += 1
        if b[i - 1] < 128: return v, i
def fields(b):
    i, f = 0, {}
    while i < len(b):
        tag, i = varint(b, i)
        v, i = varint(b, i)
        if tag & 7 == 2: v, i = b[i:i + v], i + v
        f[tag >> 3] = v
    return f
while at < len(data):
    n, = struct.unpack(">I", data[at:at + 4])
    assert struct.unpack(">I", data[at + 4 + n:at + 8 + n]) == (n,)
    f = fields(data[at + 4:at + 4 + n])
    assert f[2] > 1.7e18, f
    seen.append((f[1], f[3], f.get(4, 0), fields(f[5]).get(1, 0) if 5 in f else None))
    at += n + 8
assert sorted(seen) == [(b"stderr", b"err", 0, None), (b"stdout", b"out", 0, None), (b"stdout", b"rest", 1, 0)], seen
P
    run --separate-stderr -0 coracle logs form
    assert_eq "$output" $'out\nrest'
    assert_eq "$stderr" err
    assert_eq "$(coracle inspect -f '{{.HostConfig.LogConfig.Type}} {{.LogPath}}' form)" "local "
    coracle rm form
}

@test "local: a long line, bytes of any kind, following, --since, -t" {
    coracle run --name any --log-driver local busybox sh -c 'head -c 100000 /dev/urandom; head -c 100000 /dev/zero | tr "\0" x; echo; echo end' >"$T/direct"
    coracle logs any | cmp "$T/direct"
    coracle run -d --name live --log-driver local -v "$T:/t" busybox sh -c 'seq 20000; until [ -e /t/go ]; do sleep 0.02; done; echo late'
    coracle logs -f live >"$T/followed" 3>&- &
    follower=$!
    wait_for grep -qx 20000 "$T/followed" # else both are read at once, and have one time
    touch "$T/go"
    wait $follower
    cmp "$T/followed" <(seq 20000; echo late)
    late=$(coracle logs -t --tail 1 live | cut -d' ' -f1)
    [[ $late =~ ^2[0-9]{3}-[0-9-]{5}T[0-9:]{8}\.[0-9]{9}Z$ ]] || fail "time: $late"
    assert_eq "$(coracle logs --since "$late" live)" late
    assert_eq "$(coracle logs --until "$late" --since "$late" live)" late
    coracle rm any live
}

@test "compress: rotated files become .gz, docker's defaults hold for local, and logs reads through them" {
    coracle run --name gz --log-opt max-size=20k --log-opt max-file=4 --log-opt compress=true busybox seq 20000 >/dev/null
    coracle run --name lgz --log-driver local --log-opt max-size=20k busybox seq 20000 >/dev/null
    wait_for packed gz 4
    wait_for packed lgz 5
    for c in gz lgz; do
        gzip -t "$(logdir $c)"/log.*.gz
        coracle logs $c >"$T/out"
        n=$(wc -l <"$T/out")
        [ "$n" -gt 600 ] || fail "only $n lines"
        seq 20000 | tail -n "$n" | cmp - "$T/out"
        for t in 1 10 500 "$n"; do coracle logs --tail "$t" $c | cmp - <(seq 20000 | tail -n "$t"); done
    done
    coracle rm gz lgz
}

@test "three followers lose and double nothing while 40 MB are rotated and compressed" {
    for driver in json-file local; do
        coracle run -d --name rot --log-driver $driver --log-opt max-size=1m --log-opt max-file=200 --log-opt compress=true -v "$T:/t" \
            busybox sh -c 'while [ ! -e /t/go ]; do sleep 0.02; done; seq 1000000 2000000 | sed "s/\$/ of a line that is fourty bytes long/"'
        followers=()
        for i in 1 2 3; do coracle logs -f rot 3>&- | sha256sum >"$T/sum$i" & followers+=($!); done
        touch "$T/go"
        wait "${followers[@]}"
        want=$(seq 1000000 2000000 | sed 's/$/ of a line that is fourty bytes long/' | sha256sum)
        for i in 1 2 3; do assert_eq "$(cat "$T/sum$i")" "$want"; done
        assert_eq "$(coracle logs rot | sha256sum)" "$want"
        [ "$(find "$(logdir rot)" -maxdepth 1 -name 'log.*' | wc -l)" -gt 30 ] || fail "it was not rotated"
        coracle rm rot
        rm "$T/go"
    done
}

@test "--details shows labels, environment and the tag; attrs are in the file" {
    coracle run --name det --label com.x=1 --label zone=a\ b -e V=7 -e W=8 --log-opt labels=zone,none --log-opt labels-regex='^com' \
        --log-opt env-regex='^V' --log-opt tag='{{.Name}}-{{.ImageName}}' busybox echo text >/dev/null
    assert_eq "$(jq -c .attrs "$(coracle inspect -f '{{.LogPath}}' det)")" '{"V":"7","com.x":"1","tag":"det-busybox","zone":"a b"}'
    assert_eq "$(coracle logs --details det)" "V=7,com.x=1,tag=det-busybox,zone=a+b text"
    [[ $(coracle logs -t --details det) =~ ^2[^\ ]*Z\ V=7,.*\ text$ ]] || fail "$(coracle logs -t --details det)"
    assert_eq "$(coracle logs det)" text
    coracle run --name plain busybox echo text >/dev/null
    assert_eq "$(coracle logs --details plain)" " text"
    coracle rm det plain
}

@test "syslog to a local socket, by UDP and TCP, in docker's forms" {
    sink unixgram "$T/s"
    coracle run --rm --log-driver syslog --log-opt syslog-address=unix://"$T/s" busybox sh -c 'echo out; echo err >&2' >/dev/null 2>&1
    wait_for received '^<30>[A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} [0-9a-f]{12}\[[0-9]+\]: out$' || fail "$(cat "$T/sink")"
    wait_for received '^<27>.*: err$' || fail "$(cat "$T/sink")"
    sink udp 0
    coracle run --rm --name tagged --log-driver syslog --log-opt syslog-address=udp://127.0.0.1:"$port" --log-opt syslog-format=rfc5424micro \
        --log-opt syslog-facility=local3 --log-opt tag='{{.ImageName}}/{{.Name}}/{{.ID}}' busybox echo out >/dev/null
    wait_for received "^<158>1 2[0-9-]{9}T[0-9:]{8}\.[0-9]{6}Z [^ ]+ busybox/tagged/[0-9a-f]{12} [0-9]+ busybox/tagged/[0-9a-f]{12} - out$" || fail "$(cat "$T/sink")"
    sink tcp 0
    coracle run --name tcp --log-driver syslog --log-opt syslog-address=tcp://127.0.0.1:"$port" --log-opt syslog-format=rfc3164 busybox seq 50000 >/dev/null
    wait_for received ': 50000$'
    sed 's/^<30>[^:]*:[^:]*:[^:]*: //' "$T/sink" | cmp - <(seq 50000)
    coracle logs --tail 3 tcp | cmp - <(seq 49998 50000) # docker's local copy
    coracle rm tcp
}

@test "a syslog daemon that does not read slows the container down, and stop still works" {
    sink unixgram "$T/s"
    kill -STOP "$SINK_PID"
    coracle run -d --name slow --log-driver syslog --log-opt syslog-address=unix://"$T/s" -v "$T:/t" busybox sh -c 'seq 4000 | sed "s/\$/ $0/"; echo done >/t/done' "$(printf %01000d 0)"
    run timeout 1 coracle wait slow
    assert_status 124
    [ ! -e "$T/done" ]
    kill -CONT "$SINK_PID"
    wait_for test -e "$T/done"
    coracle wait slow
    wait_for received ': 4000 0+$' # all is sent, and the daemon may be slow to write it down
    tr '\0' '\n' <"$T/sink" | sed -n 's/.*: \([0-9][0-9]*\) 0*$/\1/p' | cmp - <(seq 4000)
    coracle rm slow
}

@test "what a container says last is not lost where the syslog daemon is busy for two seconds" {
    sink unixgram "$T/s"
    kill -STOP "$SINK_PID"
    coracle run -d --name last --log-driver syslog --log-opt syslog-address=unix://"$T/s" busybox seq 2000
    run timeout 2 coracle wait last
    kill -CONT "$SINK_PID"
    assert_eq "$(coracle wait last)" 0
    wait_for received ': 2000$'
    tr '\0' '\n' <"$T/sink" | sed -n 's/.*: \([0-9][0-9]*\)$/\1/p' | cmp - <(seq 2000)
    coracle rm last
}

@test "mode=non-blocking: the same daemon does not keep the container, and what is missing is counted" {
    sink unixgram "$T/s"
    kill -STOP "$SINK_PID"
    coracle run -d --name quick --log-driver syslog --log-opt syslog-address=unix://"$T/s" --log-opt mode=non-blocking --log-opt max-buffer-size=64k \
        -v "$T:/t" busybox sh -c 'seq 4000 | sed "s/\$/ $0/"; echo done >/t/done
            until [ -e /t/enough ]; do sleep 0.05; echo more $((more += 1)); done
            echo last $more; until [ -e /t/end ]; do sleep 0.05; done' "$(printf %01000d 0)"
    wait_for test -e "$T/done"
    kill -CONT "$SINK_PID"
    wait_for received ': more [0-9]+$' # what waited before it has come too: there is room for the rest
    touch "$T/enough"
    wait_for received ': last [0-9]+$'
    touch "$T/end"
    coracle wait quick
    lost=$(tr '\0' '\n' <"$T/sink" | sed -n 's/.*coracle: \([0-9]*\) lines of output were lost.*/\1/p' | awk '{s += $1} END {print s}')
    whole=$(tr '\0' '\n' <"$T/sink" | grep -acE ': [0-9]+ 0{1000}$')
    more=$(tr '\0' '\n' <"$T/sink" | grep -acE ': more [0-9]+$')
    said=$((4000 + $(tr '\0' '\n' <"$T/sink" | sed -n 's/.*: last \([0-9]*\)$/\1/p')))
    [ "$whole" -gt 50 ] && [ "$lost" -gt 1000 ] && [ $((lost + whole + more)) = $said ] ||
        fail "of $said lines $whole and $more came and $lost were lost"
    coracle rm quick
}

@test "what cannot be reached or is unknown is refused, with the way out" {
    cases=(
        "--log-driver syslog --log-opt syslog-address=tcp://127.0.0.1:1|onnection refused"
        "--log-driver syslog --log-opt syslog-address=nowhere|syslog-address should be in form proto://address, got nowhere"
        "--log-driver syslog --log-opt syslog-address=tcp+tls://h:1|TLS is not supported"
        "--log-driver gelf|use --log-driver syslog"
        "--log-driver awslogs|json-file"
        "--log-driver nosuch|logger: no log driver named 'nosuch' is registered"
        "--log-driver local --log-opt tag=x|unknown log opt 'tag' for log driver local"
        "--log-opt mode=maybe|logger: logging mode not supported: maybe"
        "--log-opt max-buffer-size=1m|only supported with 'mode=non-blocking'"
        "--log-opt compress=true|compress cannot be true when max-file is less than 2 or max-size is not set"
        "--log-opt tag={{.Nosuch}}|invalid log opt tag"
        "--log-opt labels-regex=(|invalid log opt labels-regex"
    )
    for c in "${cases[@]}"; do
        # shellcheck disable=SC2086
        run coracle run --rm ${c%%|*} busybox true
        assert_status 125
        assert_output_has "${c#*|}"
    done
    assert_eq "$(coracle ps -aq)" ""
}

@test "passthrough: the container writes to the starter's own output" {
    coracle run -d --name pass --log-driver passthrough busybox sh -c 'cat; echo err >&2' <<<in >"$T/out" 2>"$T/err"
    coracle wait pass
    grep -qx in "$T/out" || fail "not in the starter's output"
    assert_eq "$(cat "$T/err")" err
    run coracle logs pass
    assert_status 1
    assert_output_has 'configured logging driver does not support reading'
    coracle rm pass
    run coracle run --rm --log-driver passthrough busybox true </dev/null
    assert_status 125
    assert_output_has 'cannot be attached to'
    run coracle run -dt --log-driver passthrough busybox true </dev/null
    assert_status 125
}

@test "defaults of config.json: for the driver they are of, and over them --log-opt" {
    mkdir -p "$HOME/.config/coracle"
    echo '{"log-driver": "local", "log-opts": {"max-size": "30k", "max-file": "3"}}' >"$HOME/.config/coracle/config.json"
    coracle run --name def --log-opt max-file=2 busybox seq 20000 >/dev/null
    coracle run --name other --log-driver json-file busybox echo x >/dev/null
    assert_eq "$(coracle inspect -f '{{json .HostConfig.LogConfig}}' def)" '{"Type":"local","Config":{"max-file":"2","max-size":"30k"}}'
    assert_eq "$(coracle inspect -f '{{json .HostConfig.LogConfig}}' other)" '{"Type":"json-file","Config":{}}'
    wait_for packed def 2 || fail "the files: $(ls "$(logdir def)")"
    assert_eq "$(coracle info -f '{{.LoggingDriver}} {{json .Plugins.Log}}')" 'local ["journald","json-file","local","none","passthrough","syslog"]'
    rm "$HOME/.config/coracle/config.json"
    coracle rm def other
}

# tests/lib/as-user makes the place where there is no journald.
@test "journald: docker's fields, a long line in parts, and logs of the local copy" {
    [ -w /run/systemd/journal ] || skip "the journal's socket is somebody else's"
    exec 7</run/systemd/journal
    flock 7 # the machine has one such place, and may run this test twice at once
    [ ! -e /run/systemd/journal/socket ] || skip "the journal's socket is somebody else's"
    journal=/run/systemd/journal/socket
    sink unixgram $journal
    coracle run --name jd --label a.b=c --log-driver journald --log-opt labels=a.b --log-opt tag='T/{{.Name}}' busybox \
        sh -c 'echo out; echo err >&2; head -c 20000 /dev/zero | tr "\0" x; echo' >/dev/null 2>&1
    rm $journal
    id=$(coracle inspect -f '{{.Id}}' jd)
    for field in CONTAINER_ID="${id:0:12}" CONTAINER_ID_FULL="$id" CONTAINER_NAME=jd CONTAINER_TAG=T/jd SYSLOG_IDENTIFIER=T/jd IMAGE_NAME=busybox \
        A_B=c PRIORITY=6 PRIORITY=3 MESSAGE=out MESSAGE=err CONTAINER_PARTIAL_MESSAGE=true CONTAINER_PARTIAL_ORDINAL=2 CONTAINER_PARTIAL_LAST=true; do
        wait_for received "^$field\$" || fail "no $field in $(cut -c1-200 "$T/sink")"
    done
    assert_eq "$(coracle logs jd 2>/dev/null | wc -c)" 20005
    coracle rm jd
    run coracle run --rm --log-driver journald busybox true
    assert_status 125
    assert_output_has 'journald is not enabled on this host'
    coracle create --name off --log-driver journald --log-opt cache-disabled=true busybox
    run coracle logs off
    assert_status 1
    assert_output_has 'journalctl CONTAINER_NAME=off'
}
