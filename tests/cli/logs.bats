#!/usr/bin/env bats
# logs: the json-file format, following, cutting by time and count, rotation.
load ../lib/common

file_setup() { image busybox; }

logfile() { coracle inspect -f '{{.LogPath}}' "$1"; }
logged() { coracle logs "$1" 2>&1 | grep -q "$2"; }

@test "the file is docker's json-file: one object a line with log, stream and time" {
    coracle run --name fmt busybox sh -c 'echo out; echo err >&2; printf "tab\tquote\"back\\slash\n"; printf unfinished' >/dev/null 2>&1
    file=$(logfile fmt)
    assert_eq "$(wc -l <"$file")" 4
    jq -e -s 'all(keys == ["log", "stream", "time"])' "$file"
    assert_eq "$(jq -r 'select(.stream == "stderr") | .log' "$file" | head -1)" err
    jq -e -s 'map(.log) | contains(["out\n", "err\n", "tab\tquote\"back\\slash\n", "unfinished"])' "$file"
    jq -e -s 'all(.time | test("^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{1,9}Z$"))' "$file"
    head -1 "$file" | grep -qE '^\{"log":"[a-z]+\\n","stream":"std(out|err)","time":"[^"]+"\}$' || fail "$(head -1 "$file")"
    coracle rm fmt
}

@test "logs puts stdout on stdout and stderr on stderr, also of a container that has ended" {
    coracle run -d --name both busybox sh -c 'echo out; echo err >&2'
    coracle wait both
    run --separate-stderr -0 coracle logs both
    assert_eq "$output" out
    assert_eq "$stderr" err
    coracle rm both
}

@test "control characters and UTF-8, also cut in two writes, arrive byte by byte" {
    coracle run --name bytes busybox sh -c 'printf "a\001\033[31mred\033[0m\303\251\n"; printf "\342\202"; printf "\254 euro\n"' >"$BATS_TEST_TMPDIR/direct"
    coracle logs bytes >"$BATS_TEST_TMPDIR/log"
    cmp "$BATS_TEST_TMPDIR/direct" "$BATS_TEST_TMPDIR/log"
    jq -e . "$(logfile bytes)" >/dev/null
    coracle rm bytes
}

@test "bytes that are no UTF-8 leave the file readable JSON" {
    coracle run --name raw busybox sh -c 'head -c 20000 /dev/urandom; echo; echo end' >/dev/null
    jq -e . "$(logfile raw)" >/dev/null
    assert_eq "$(coracle logs raw | tail -1)" end
    coracle rm raw
}

@test "a line of 1 MB comes back as one line" {
    coracle run --name long busybox sh -c 'head -c 1000000 /dev/zero | tr "\0" x; echo; echo after' >/dev/null
    run -0 bash -c 'coracle logs long | wc -lc'
    [[ $output =~ ^\ *2\ +1000007$ ]] || fail "got $output"
    jq -e . "$(logfile long)" >/dev/null
    coracle rm long
}

@test "100,000 lines: none is lost, none is doubled, none changes places" {
    coracle run -d --name many busybox seq 100000 >/dev/null
    coracle logs -f many >"$BATS_TEST_TMPDIR/follow"
    seq 100000 | cmp - "$BATS_TEST_TMPDIR/follow"
    coracle logs many | cmp - "$BATS_TEST_TMPDIR/follow"
    assert_eq "$(wc -l <"$(logfile many)")" 100000
    coracle rm many
}

@test "-f follows while the container writes, and ends with it" {
    coracle create -i --name talk busybox cat
    mkfifo "$BATS_TEST_TMPDIR/in"
    coracle start -ai talk <"$BATS_TEST_TMPDIR/in" >/dev/null 3>&- &
    exec 8>"$BATS_TEST_TMPDIR/in"
    wait_for eval '[ "$(coracle inspect -f "{{.State.Running}}" talk)" = true ]'
    coracle logs -f talk >"$BATS_TEST_TMPDIR/out" 3>&- 8>&- &
    follower=$!
    for w in one two three; do
        echo "$w" >&8
        wait_for grep -qx "$w" "$BATS_TEST_TMPDIR/out"
    done
    exec 8>&-
    wait $follower
    assert_eq "$(cat "$BATS_TEST_TMPDIR/out")" $'one\ntwo\nthree'
    coracle rm -f talk
}

@test "-f sees a line as soon as it is there" {
    coracle run -d --name lively -v "$BATS_TEST_TMPDIR:/t" busybox sh -c 'mkfifo /tmp/f; echo first; while :; do [ -e /t/go ] && break; sleep 0.02; done; echo second; sleep 1000'
    coracle logs -f lively >"$BATS_TEST_TMPDIR/out" 3>&- &
    follower=$!
    wait_for grep -q first "$BATS_TEST_TMPDIR/out"
    touch "$BATS_TEST_TMPDIR/go"
    wait_for grep -q second "$BATS_TEST_TMPDIR/out"
    coracle rm -f lively
    wait $follower
    assert_eq "$(cat "$BATS_TEST_TMPDIR/out")" $'first\nsecond'
}

@test "-f goes on over a restart's end: it ends with the run it watched" {
    coracle run -d --name again busybox sh -c 'echo run; sleep 1000'
    wait_for logged again run
    coracle logs -f again >"$BATS_TEST_TMPDIR/out" 3>&- &
    follower=$!
    wait_for grep -q run "$BATS_TEST_TMPDIR/out"
    coracle stop again
    wait $follower
    coracle rm again
}

@test "three followers at once each see everything" {
    coracle run -d --name three -v "$BATS_TEST_TMPDIR:/t" busybox sh -c 'while [ ! -e /t/go ]; do sleep 0.02; done; seq 20000'
    for i in 1 2 3; do coracle logs -f three >"$BATS_TEST_TMPDIR/o$i" 3>&- & followers+=($!); done
    touch "$BATS_TEST_TMPDIR/go"
    wait "${followers[@]}"
    for i in 1 2 3; do seq 20000 | cmp - "$BATS_TEST_TMPDIR/o$i"; done
    coracle rm three
}

@test "--tail: 0, n, more than there are, all; with -f too" {
    coracle run --name tail busybox seq 50 >/dev/null
    for t in 0 1 10 50 1000; do
        want=$(seq 50 | tail -n "$t")
        assert_eq "$(coracle logs --tail "$t" tail)" "$want"
        assert_eq "$(coracle logs -n "$t" tail)" "$want"
        assert_eq "$(coracle logs -f -n "$t" tail)" "$want"
    done
    assert_eq "$(coracle logs --tail all tail)" "$(seq 50)"
    assert_eq "$(coracle logs --tail -1 tail)" "$(seq 50)"
    coracle rm tail
}

@test "--tail of a large log reads its end, not all of it" {
    [ -r /proc/self/io ] || skip "this kernel counts no reads"
    local file driver
    for driver in json-file local; do
        coracle run --name large --log-driver $driver busybox seq 100000 >/dev/null
        file=$STORE/containers/$(coracle inspect -f '{{.Id}}' large)/log
        cp "$file" "$BATS_TEST_TMPDIR/once"
        for i in {1..12}; do cat "$BATS_TEST_TMPDIR/once" >>"$file"; done
        [ "$(stat -c %s "$file")" -gt 30000000 ]
        assert_eq "$(coracle logs --tail 10 large)" "$(seq 99991 100000)"
        # what a shell has read includes what the commands have that it waited for
        read=$(sh -c 'coracle logs --tail 10 large >/dev/null; awk "/^rchar/ { print \$2 }" /proc/$$/io')
        [ "$read" -lt 1000000 ] || fail "$driver: it has read $read bytes"
        coracle rm large
    done
}

@test "-t puts the file's own time before each line" {
    coracle run --name stamp busybox sh -c 'echo a; echo b >&2; echo c' >/dev/null 2>&1
    run -0 coracle logs -t stamp
    assert_eq "${#lines[@]}" 3
    for l in "${lines[@]}"; do
        [[ $l =~ ^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z\ [abc]$ ]] || fail "line: $l"
    done
    coracle rm stamp
}

@test "--since and --until cut by RFC 3339, unix time with a fraction, and durations" {
    # each line is in the log before the next is written: what a monitor reads at once has one time
    coracle run -d --name cut -v "$BATS_TEST_TMPDIR:/t" busybox sh -c 'for w in early middle late; do until [ -e /t/$w ]; do sleep 0.02; done; echo $w; done'
    for w in early middle late; do
        touch "$BATS_TEST_TMPDIR/$w"
        wait_for logged cut $w
    done
    coracle wait cut
    file=$(logfile cut)
    t2=$(jq -r 'select(.log == "middle\n") | .time' "$file")
    t3=$(jq -r 'select(.log == "late\n") | .time' "$file")
    assert_eq "$(coracle logs --since "$t2" cut)" $'middle\nlate'
    assert_eq "$(coracle logs --until "$t2" cut)" $'early\nmiddle'
    run -0 coracle logs --since "$(date -d "$t3" +%s.%N)" cut
    assert_eq "$output" late
    assert_eq "$(coracle logs --since 1h cut)" $'early\nmiddle\nlate'
    assert_eq "$(coracle logs --until 1h cut)" ""
    assert_eq "$(coracle logs --since 2038-01-01 cut)" ""
    assert_eq "$(coracle logs --since 2001-01-01T00:00:00 --tail 1 cut)" late
    for bad in tomorrow 12x '2026-13-45T00:00:00Z'; do
        run coracle logs --since "$bad" cut
        assert_status 1
        assert_output_has "$bad"
    done
    coracle rm cut
}

@test "rotation: max-size and max-file bound the files, and logs reads all that is left" {
    coracle run --name rot --log-opt max-size=20k --log-opt max-file=3 busybox seq 20000 >/dev/null
    dir=$(dirname "$(logfile rot)")
    n=$(find "$dir" -name 'log*' -type f | wc -l)
    assert_eq "$n" 3
    while read -r size; do [ "$size" -le 21000 ] || fail "a file of $size bytes"; done < <(find "$dir" -name 'log*' -printf '%s\n')
    coracle logs rot >"$BATS_TEST_TMPDIR/out"
    lines=$(wc -l <"$BATS_TEST_TMPDIR/out")
    [ "$lines" -gt 400 ] || fail "only $lines lines"
    seq 20000 | tail -n "$lines" | cmp - "$BATS_TEST_TMPDIR/out"
    coracle rm rot
}

@test "following across rotations loses and doubles nothing that a reader could get in time" {
    coracle create -i --name rotf --log-opt max-size=2k --log-opt max-file=5 busybox cat
    mkfifo "$BATS_TEST_TMPDIR/in"
    coracle start -ai rotf <"$BATS_TEST_TMPDIR/in" >/dev/null 3>&- &
    attached=$!
    exec 8>"$BATS_TEST_TMPDIR/in"
    wait_for eval '[ "$(coracle inspect -f "{{.State.Running}}" rotf)" = true ]'
    coracle logs -f rotf >"$BATS_TEST_TMPDIR/out" 3>&- 8>&- &
    follower=$!
    for i in $(seq 20); do # each block is less than the files together, and is waited for
        seq $(((i - 1) * 20 + 1)) $((i * 20)) >&8
        wait_for grep -qx $((i * 20)) "$BATS_TEST_TMPDIR/out"
    done
    exec 8>&-
    wait $attached $follower
    seq 400 | cmp - "$BATS_TEST_TMPDIR/out"
    coracle rm -f rotf
}

@test "max-size without max-file keeps one file" {
    coracle run --name one --log-opt max-size=10k busybox seq 10000 >/dev/null
    assert_eq "$(find "$(dirname "$(logfile one)")" -name 'log*' -type f | wc -l)" 1
    assert_eq "$(coracle logs one | tail -1)" 10000
    coracle rm one
}

@test "a container without logs: the file is not written, and logs says why" {
    coracle run --name nolog --log-driver none busybox echo shown
    run coracle logs nolog
    assert_status 1
    assert_output_has 'configured logging driver does not support reading'
    coracle rm nolog
    for bad in "--log-driver nosuch" "--log-opt max-size=x" "--log-opt max-file=0" "--log-opt nosuch=1"; do
        # shellcheck disable=SC2086
        run coracle run --rm $bad busybox true
        assert_status 125
        [ -n "$output" ]
    done
    assert_eq "$(coracle ps -aq)" ""
}

@test "the log of a terminal has the terminal's bytes, on one stream" {
    coracle run -t --name tty busybox sh -c 'echo out; echo err >&2' </dev/null >/dev/null
    run --separate-stderr -0 coracle logs tty
    assert_eq "$output" $'out\r\nerr\r'
    assert_eq "$stderr" ""
    coracle rm tty
}

@test "a torn last line, as a power cut leaves it, is left out and the rest is shown" {
    coracle run --name torn busybox seq 5 >/dev/null
    printf '{"log":"6\\n","str' >>"$(logfile torn)"
    run coracle logs torn
    assert_output_has $'1\n2\n3\n4\n5'
    refute_output_has '"str'
    coracle start -a torn >/dev/null
    run coracle logs torn
    assert_eq "$(grep -cx '[1-5]' <<<"$output")" 10
    coracle rm torn
}

@test "logs into a full device and into a closed pipe" {
    coracle run --name outs busybox seq 100000 >/dev/null
    run bash -c 'coracle logs outs >/dev/full'
    assert_status 1
    assert_output_has 'no space left'
    run -0 timeout "$(patience 20)" bash -c 'coracle logs outs | head -1'
    assert_eq "$output" 1
    coracle rm outs
}
