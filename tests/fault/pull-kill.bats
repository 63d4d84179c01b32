#!/usr/bin/env bats
# A pull, a load or one of their helpers is killed at any moment: nothing half-done is ever visible, the next command works, what
# was downloaded is not downloaded again, and in the end there is no debris.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    # four layers: busybox, two small ones, and three megabytes in many files' company
    layout victim --layers 4 --size 3000000 --files 300 >/dev/null
    layout large --layers 2 --size 12000000 >/dev/null
    publish victim
    publish large
    static_start files
}
file_teardown() { registry_stop_all; }

setup() {
    R=$(registry_addr static-files)
    forget_images
}

# publish LAYOUT: lays it out for the static registry as LAYOUT:1
publish() {
    local d=$CTR_HOME/static/files l=$CTR_HOME/layouts/$1 f
    mkdir -p "$d/$1/manifests" "$d/blobs"
    cp "$l/blobs/sha256/$(jq -r '.manifests[0].digest[7:]' "$l/index.json")" "$d/$1/manifests/1"
    for f in "$l"/blobs/sha256/*; do cp "$f" "$d/blobs/sha256:${f##*/}"; done
}

# Back to an empty store: every image, and the blobs and layers that killed pulls had finished.
forget_images() {
    local ids
    ids=$(image_ids)
    [ -z "$ids" ] || coracle rmi -f $ids >/dev/null
    wait_for store_removed || fail "the store cannot be removed"
}
# The collector that rmi leaves behind may still be at work in it.
store_removed() { unshare --map-auto --map-root-user rm -rf "$STORE" 2>/dev/null; }

# All that the image's files say, and the same after it went through kills: remembered at the first call for an image.
complete() {
    local file=$BATS_FILE_TMPDIR/${1##*/} got
    got=$(coracle run --rm --network none "$1" /bin/busybox sh -c \
        'busybox find /bin /many /big /layer* -type f 2>/dev/null | busybox sort | busybox xargs busybox cat | busybox md5sum' 2>&1)
    [ -e "$file" ] || echo "$got" >"$file"
    grep -qE '^[0-9a-f]{32}  -$' <<<"$got" || fail "does not run: $got"
    assert_eq "$got" "$(cat "$file")"
}

# Milliseconds that a command takes undisturbed.
duration() {
    local begun=$EPOCHREALTIME
    "$@" >/dev/null 2>&1
    echo $(((${EPOCHREALTIME/./} - ${begun/./}) / 1000 + 1))
}

# kill_rounds N WHAT COMMAND…: runs the command until N kills have hit it, each at a random moment of its life, in turn alone and with
# its helpers. After each the store must show the image whole or not at all. What its life is on this machine, now, the rounds
# themselves tell: one that was through before its kill makes it shorter, one that was hit a little longer.
kill_rounds() {
    local rounds ref=$2 i=0 hits=0 life delay alone rc shown
    rounds=$(rounds "$1")
    shift 2
    life=$(duration "$@")
    complete "$ref"
    forget_images
    while [ "$hits" -lt "$rounds" ]; do
        i=$((i + 1))
        delay=$((RANDOM * life / 32768 + 1))
        rc=0 alone=
        [ $((i % 2)) = 0 ] && alone=--foreground
        { timeout $alone -s KILL "$(printf %d.%03d $((delay / 1000)) $((delay % 1000)))" "$@" >/dev/null 2>"$BATS_TEST_TMPDIR/err"; } 2>/dev/null || rc=$?
        case $rc in
        0 | 124) life=$((life * 3 / 4 + 1)) ;; # 124: it ended in the moment of the signal
        137) hits=$((hits + 1)) life=$((life * 21 / 20 + 1)) ;;
        *) fail "round $i, killed after $delay ms: exit status $rc: $(cat "$BATS_TEST_TMPDIR/err")" ;;
        esac
        shown=$(coracle images -q) || fail "round $i: images fails"
        [ "$rc" != 0 ] || [ -n "$shown" ] || fail "round $i: done, but not there"
        if [ -n "$shown" ]; then
            coracle image inspect "$ref" >/dev/null || fail "round $i: an image without its name"
            complete "$ref" || fail "round $i: half an image is visible"
            forget_images
        else
            ! coracle image inspect "$ref" >/dev/null 2>&1 || fail "round $i: a name without an image"
        fi
        [ $((i % 6)) != 0 ] || wait_for nothing_runs || fail "round $i: $(left_processes)"
    done
    wait_for nothing_runs || fail "$(left_processes)"
    "$@" >/dev/null
    complete "$ref"
    store_is_clean
}

@test "pull, killed 40 times at random moments, alone and with its helpers" {
    kill_rounds 40 "$R/victim:1" coracle pull -q "$R/victim:1"
}

@test "load, killed 20 times at random moments" {
    coracle pull -q "$R/victim:1"
    coracle save -o "$CTR_HOME/tmp/victim.tar" "$R/victim:1"
    forget_images
    kill_rounds 20 "$R/victim:1" coracle load -q -i "$CTR_HOME/tmp/victim.tar"
}

@test "import, killed 20 times at random moments" {
    kill_rounds 20 killed:import coracle import "$(victim_tar)" killed:import
}
victim_tar() {
    local t=$CTR_HOME/tmp/root.tar
    if [ ! -e "$t" ]; then
        busybox_tree "$CTR_HOME/tmp/root"
        head -c 3000000 /dev/urandom >"$CTR_HOME/tmp/root/big"
        echo layer >"$CTR_HOME/tmp/root/layer1"
        tar --owner=0 --group=0 -C "$CTR_HOME/tmp/root" -cf "$t" .
    fi
    echo "$t"
}

@test "a paced pull, killed until it is through: it resumes where the partial blob ends, and what has come does not come twice" {
    ln -s files "$CTR_HOME/static/paced"
    static_start paced --rate 12000000
    no_fetch() { ! pgrep -u "$(id -u)" -f "$CORACLE_BIN/coracle-fetch" >/dev/null; }
    ref=$REGISTRY/large:1
    blob=$(jq -r '.layers[1].digest' "$CTR_HOME/static/files/large/manifests/1")
    static_reset paced
    partial() { stat -c %s "$STORE/blobs/partial/${blob#*:}" 2>/dev/null || echo 0; }
    kills=0
    while :; do
        # In turn while bytes flow, of which some may be on their way, and when all that was sent is here. The server holds the rest
        # back, so that who is held up on a busy machine is not too late to kill it. Pieces are of 16 KiB.
        enough=$(($(partial) + (90 + RANDOM % 60) * 16384))
        echo $((enough + kills % 2 * 30 * 16384)) >"$CTR_HOME/static/files/hold"
        coracle pull -q "$ref" >/dev/null 2>&1 3>&- &
        pid=$!
        while kill -0 "$pid" 2>/dev/null && [ "$(partial)" -lt "$enough" ]; do sleep 0.02; done
        kill -KILL "$pid" 2>/dev/null || true
        ! wait "$pid" 2>/dev/null || break
        assert_eq "$(image_ids)" ""
        wait_for no_fetch
        partial >>"$BATS_TEST_TMPDIR/partials"
        [ $((kills % 2)) = 1 ] || partial >>"$BATS_TEST_TMPDIR/whole"
        kills=$((kills + 1))
    done
    rm "$CTR_HOME/static/files/hold"
    [ "$kills" -ge 3 ] || fail "only $kills kills"
    complete "$ref"
    # every resumed request began at a size that the partial blob had after a kill
    for offset in $(static_log paced | awk -v b="$blob" 'index($2, b) && $4 > 0 { print $4 }'); do
        grep -qx "$offset" "$BATS_TEST_TMPDIR/partials" || fail "a request began at $offset: $(paste -sd' ' "$BATS_TEST_TMPDIR/partials")"
    done
    # and every byte was in the file when there was none on its way
    for end in $(cat "$BATS_TEST_TMPDIR/whole"); do
        static_log paced | awk -v b="$blob" -v end="$end" 'index($2, b) && $4 + $6 == end { found = 1 } END { exit !found }' ||
            fail "none of the requests ended at $end: $(static_log paced)"
    done
    store_is_clean
}

@test "a helper that dies ends the pull with an error, not a hang, and the next one succeeds" {
    for i in $(seq 8); do
        case $((i % 2)) in 0) helper=coracle-fetch ;; *) helper=coracle-unpack ;; esac
        coracle pull -q "$R/large:1" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
        pid=$!
        hit=
        if wait_for_child "$pid" "$helper"; then
            kill -KILL "$child" 2>/dev/null && hit=1
        fi
        rc=0
        wait "$pid" || rc=$?
        if [ "$rc" != 0 ]; then
            assert_eq "$rc" 1
            grep -q "^coracle: " "$BATS_TEST_TMPDIR/out" || fail "no error: $(cat "$BATS_TEST_TMPDIR/out")"
            assert_eq "$(image_ids)" ""
        fi
        forget_images
    done
    coracle pull -q "$R/large:1"
    complete "$R/large:1"
    store_is_clean
}
# wait_for_child PID COMM: its child of that name, as $child; no sleep, for it lives for milliseconds only.
wait_for_child() {
    local n
    for n in $(seq 3000); do
        for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
            [ "$(cat "/proc/$child/comm" 2>/dev/null)" != "${2:0:15}" ] || return 0
        done
        [ -e "/proc/$1/task/$1/children" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null)" ] || return 1
    done
    return 1
}
