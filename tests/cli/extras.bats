#!/usr/bin/env bats
# What podman has beyond docker, and users of both rely on: flags of run and create, questions for scripts, names of images.
load ../lib/common
file_setup() { image busybox; }

fails() { # CODE TEXT COMMAND…
    local code=$1 text=$2
    shift 2
    run coracle "$@"
    assert_status "$code"
    assert_output_has "$text"
}

@test "--umask: for the first process and for exec" {
    local c
    c=$(unique)
    coracle run -d --name "$c" --umask 0027 busybox sh -c 'umask >/u; exec sleep 1000' >/dev/null
    assert_eq "$(coracle exec "$c" sh -c umask)" 0027
    wait_for coracle exec "$c" test -s /u
    assert_eq "$(coracle exec "$c" cat /u)" 0027
    assert_eq "$(coracle inspect -f '{{.Config.Umask}}' "$c")" 0027
    coracle rm -f "$c"
    assert_eq "$(coracle run --rm busybox sh -c umask)" 0022
    assert_eq "$(coracle run --rm --umask 777 busybox sh -c umask)" 0777
    for bad in 0888 8 1000 "" 00022 -1; do
        fails 125 "invalid umask string" run --rm --umask="$bad" busybox true
    done
}

@test "--tz: /etc/localtime of the zone, of the host, or none" {
    mkdir -p "$TMPDIR/zones/Here"
    # TZif version 1 with one type: UTC+3, named "XYZ".
    printf 'TZif\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4\0\0\x2a\x30\0\0XYZ\0' >"$TMPDIR/zones/Here/Own"
    export TZDIR=$TMPDIR/zones
    local sum
    sum=$(md5sum <"$TMPDIR/zones/Here/Own")
    assert_eq "$(coracle run --rm --tz Here/Own -e TZ=UTC busybox sh -c 'md5sum </etc/localtime; echo $TZ')" "$sum"$'\n'UTC
    run coracle run --rm --tz Here/Own busybox sh -c 'echo x >/etc/localtime'
    assert_output_has "Read-only file system"
    assert_eq "$(coracle run --rm --tz Here/Own -v /etc/hostname:/etc/localtime:ro busybox cat /etc/localtime)" "$(cat /etc/hostname)"
    if [ -e /etc/localtime ]; then
        assert_eq "$(coracle run --rm --tz local busybox md5sum /etc/localtime | cut -c-32)" "$(md5sum </etc/localtime | cut -c-32)"
    fi
    fails 125 "unknown or invalid time zone Here: there is no file $TZDIR/Here" run --rm --tz Here busybox true
    fails 125 "unknown or invalid time zone No/Where" create --tz No/Where busybox true
    for bad in "" /etc/passwd ../passwd Here/../Here/Own Here//Own; do
        fails 125 "is no name of a time zone" run --rm --tz "$bad" busybox true
    done
    unset TZDIR
}

@test "--unsetenv, --unsetenv-all, --env-host: what is in the environment, and what wins" {
    local all
    assert_eq "$(coracle run --rm --unsetenv PATH --unsetenv HOSTNAME --unsetenv FROM_IMAGE busybox /bin/env | sort)" "HOME=/root"
    assert_eq "$(coracle run --rm --unsetenv HOSTNAME -e HOSTNAME=mine busybox env | grep ^HOSTNAME)" HOSTNAME=mine
    assert_eq "$(coracle run --rm -t --unsetenv-all -e A=1 busybox /bin/env | tr -d '\r' | sort | tr '\n' ' ')" "A=1 HOME=/root "
    all=$(env OURS=1 PATH="$PATH" coracle run --rm --env-host -e B=flag --unsetenv GONE busybox env)
    [[ $all == *OURS=1* && $all == *B=flag* && $all == *HOME=/root* && $all != *"HOME=$HOME"* ]]
    grep -q "^XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR\$" <<<"$all"
    ! grep -qxF "PATH=$PATH" <<<"$all"
    [ "$(GONE=1 B=host coracle run --rm --env-host -e B=flag --unsetenv GONE busybox sh -c 'echo $B$GONE')" = flag ]
}

@test "--pidfile: the PID at each start, relative to the caller's directory" {
    local c first
    c=$(unique)
    cd "$TMPDIR"
    coracle run -d --name "$c" --pidfile sub.pid busybox sleep 1000 >/dev/null
    cd /
    first=$(cat "$TMPDIR/sub.pid")
    assert_eq "$first" "$(coracle inspect -f '{{.State.Pid}}' "$c")"
    assert_eq "$(stat -c '%a %U' "$TMPDIR/sub.pid")" "644 $(id -un)"
    coracle restart -t 0 "$c"
    assert_eq "$(cat "$TMPDIR/sub.pid")" "$(coracle inspect -f '{{.State.Pid}}' "$c")"
    [ "$(cat "$TMPDIR/sub.pid")" != "$first" ]
    coracle rm -f "$c"
    fails 125 "--pidfile $TMPDIR/none/x" run --rm --pidfile "$TMPDIR/none/x" busybox touch "/never"
    fails 125 "invalid value for --pidfile" run --rm --pidfile "" busybox true
}

@test "--replace: takes the name over, when all else is right, and from nobody who only has such an id" {
    local c id
    c=$(unique)
    fails 125 "cannot replace container without --name" run --rm --replace busybox true
    coracle run -d --replace --name "$c" busybox sleep 1000 >/dev/null
    id=$(coracle inspect -f '{{.Id}}' "$c")
    fails 125 "No such image" run -d --replace --pull never --name "$c" nowhere.invalid/none true
    fails 125 "unknown or invalid time zone" run -d --replace --tz No/Where --name "$c" busybox true
    fails 125 "bind source path does not exist" create --replace --name "$c" --mount type=bind,src=/nowhere/x,dst=/x busybox true
    assert_eq "$(coracle inspect -f '{{.Id}} {{.State.Running}}' "$c")" "$id true"
    coracle create --replace --name "/$c" busybox echo second >/dev/null
    run coracle inspect "$id"
    assert_status 1
    assert_eq "$(coracle start -a "$c")" second
    coracle create --replace --name "${id:0:12}" busybox true >/dev/null
    id=$(coracle inspect -f '{{.Id}}' "$c")
    coracle create --replace --name "${id:0:10}" busybox true >/dev/null
    assert_eq "$(coracle inspect -f '{{.Id}}' "$c")" "$id"
}

@test "exists: containers, images, networks" {
    local c
    c=$(unique)
    coracle create --name "$c" busybox true >/dev/null
    run coracle container exists "$c"
    assert_status 0
    assert_eq "$output" ""
    coracle container exists "$(coracle inspect -f '{{.Id}}' "$c")"
    coracle image exists busybox
    coracle network create "n$c" >/dev/null
    coracle network exists "n$c"
    coracle network exists bridge
    coracle network rm "n$c" >/dev/null
    for gone in "container exists no$c" "image exists nowhere.invalid/none" "network exists n$c"; do
        # shellcheck disable=SC2086 # words
        run coracle $gone
        assert_status 1
        assert_eq "$output" ""
    done
    fails 1 "requires 1 argument" container exists
    coracle create --name "1$c" busybox true >/dev/null
}

@test "untag: some names, all names; the image and its containers stay" {
    local id c
    c=$(unique)
    id=$(coracle image inspect -f '{{.Id}}' busybox)
    coracle tag busybox "$c:a"
    coracle tag busybox "$c:b"
    coracle tag busybox "$c:c"
    coracle untag "$c:a" "$c:b" "$c:a"
    run ! coracle image exists "$c:b"
    coracle image exists "$c:c"
    fails 1 "tag not known" untag "$id" "$id"
    fails 1 "nowhere" untag nowhere.invalid/none
    coracle image untag "$id"
    assert_eq "$(coracle image inspect -f '{{len .RepoTags}}' "$id")" 0
    assert_eq "$(coracle run --rm "$id" echo runs)" runs
    coracle tag "$id" busybox
}

@test "wait --condition: running, healthy, exited, removed; a code only of what has ended" {
    local c
    c=$(unique)
    coracle create --name "$c" --health-cmd 'test -e /ok' --health-interval 1s --health-start-period 30s --health-start-interval 100ms \
        busybox sh -c 'sleep 1000' >/dev/null
    assert_eq "$(coracle wait --condition created "$c")" -1
    coracle wait --condition running "$c" >"$TMPDIR/run" &
    local running=$!
    coracle wait --condition healthy --condition removed "$c" >"$TMPDIR/healthy" &
    local healthy=$!
    coracle wait --condition exited "$c" >"$TMPDIR/exited" &
    local exited=$!
    coracle wait --condition removed "$c" >"$TMPDIR/removed" &
    local removed=$!
    waits() { readlink "/proc/$1"/fd/* | grep -q inotify; } # it has found the container, and is told of what becomes of it
    for waiter in $running $healthy $exited $removed; do wait_for waits "$waiter"; done
    coracle start "$c" >/dev/null
    wait $running
    assert_eq "$(cat "$TMPDIR/run")" -1
    kill -0 $healthy
    coracle exec "$c" touch /ok
    wait $healthy
    assert_eq "$(cat "$TMPDIR/healthy")" -1
    coracle kill "$c" >/dev/null
    wait $exited
    assert_eq "$(cat "$TMPDIR/exited")" 137
    assert_eq "$(coracle wait --condition stopped "$c")" 137
    kill -0 $removed
    coracle rm "$c" >/dev/null
    wait $removed
    fails 1 "unknown condition: gone" wait --condition gone "$c"
}

# A directory with a whole root file system, of the user's own files.
root_dir() {
    mkdir -p "$TMPDIR/$1"
    coracle export "$(coracle create busybox true)" | tar -x -C "$TMPDIR/$1" --exclude='dev/*'
    echo "$TMPDIR/$1"
}

@test "--rootfs: a directory, changed by the container; relative names, cp, export, ps; diff and commit say why not" {
    local c dir
    c=$(unique)
    dir=$(root_dir r1)
    cd "$TMPDIR"
    assert_eq "$(coracle run --name "$c" --rootfs r1 sh -c 'id -u; echo made >/made; stat -c %u:%g /made /bin')" $'0\n0:0\n0:0'
    cd /
    assert_eq "$(stat -c %U "$dir/made") $(cat "$dir/made")" "$(id -un) made"
    assert_eq "$(coracle inspect -f '{{.Rootfs}} [{{.Image}}]' "$c")" "$dir []"
    assert_eq "$(coracle ps -a --filter "name=$c" --format '{{.Image}}')" r1
    coracle cp "$c:/made" "$TMPDIR/copied"
    assert_eq "$(cat "$TMPDIR/copied")" made
    coracle export "$c" | tar -t | grep -qx made
    fails 1 "there is no image to compare with" diff "$c"
    fails 1 "there is no image to compare with" commit "$c" new
    coracle rm "$c" >/dev/null
    [ -e "$dir/made" ]
    run coracle run --rm --read-only --rootfs "$dir" touch /made2
    assert_output_has "Read-only file system"
    coracle rmi -f nothing 2>/dev/null || true
    coracle images >/dev/null
}

@test "--rootfs DIR:O: changes stay with the container" {
    local c dir before
    c=$(unique)
    dir=$(root_dir r2)
    chmod 751 "$dir"
    before=$(find "$dir" | sort | md5sum)
    coracle run --name "$c" --rootfs "$dir:O" sh -c 'stat -c %a /; echo x >>/n; rm -r /etc; wc -l </n' >"$TMPDIR/out"
    assert_eq "$(tr '\n' ' ' <"$TMPDIR/out")" "751 1 "
    assert_eq "$(coracle start -a "$c" | tr '\n' ' ')" "751 2 "
    assert_eq "$(find "$dir" | sort | md5sum)" "$before"
    coracle rm "$c" >/dev/null
    coracle run -d --name "$c" --restart on-failure:1 --rootfs "$dir:O" sh -c 'echo x >>/n; wc -l </n; exit 3' >/dev/null
    assert_eq "$(coracle wait --condition exited "$c")" 3
    assert_eq "$(coracle logs "$c" | tr '\n' ' ')" "1 2 "
    coracle rm "$c" >/dev/null
    coracle volume create "v$c" >/dev/null
    coracle run --rm -v "v$c:/etc" --rootfs "$dir:O" sh -c 'echo kept >/etc/k'
    assert_eq "$(coracle run --rm -v "v$c:/mnt" --user 99:99 --rootfs "$dir:O" sh -c 'id -u; cat /mnt/k' | tr '\n' ' ')" "99 kept "
    coracle volume rm "v$c" >/dev/null
}

@test "--rootfs: what cannot be is said before anything is made" {
    local before
    before=$(coracle ps -aq | wc -l)
    mkdir -p "$TMPDIR/foreign"
    echo x >"$TMPDIR/file"
    fails 125 "no such file or directory" run --rootfs "$TMPDIR/none" true
    fails 125 "not a directory" run --rootfs "$TMPDIR/file" true
    fails 125 "cannot be mounted with other owners" run --rootfs "$TMPDIR/foreign:idmap" true
    fails 125 "the directory must be yours, or :O" run --rootfs /usr true
    fails 125 "no command specified" run --rootfs "$TMPDIR/foreign"
    assert_eq "$(coracle ps -aq | wc -l)" "$before"
}

@test "--preserve-fds: further descriptors, to the first run only; ends of pipes close with the container" {
    local c
    c=$(unique)
    echo from-outside >"$TMPDIR/three"
    assert_eq "$(coracle run --rm --preserve-fds 2 busybox sh -c 'cat <&3; echo four >&4' 3<"$TMPDIR/three" 4>"$TMPDIR/four")" from-outside
    assert_eq "$(cat "$TMPDIR/four")" four
    assert_eq "$(coracle run --rm --preserve-fds 1 busybox sh -c '(: <&3) && (: <&4) 2>/dev/null || echo only-3' 3<"$TMPDIR/three" 4</dev/null)" only-3
    run coracle run --rm busybox sh -c ': <&3' 3<"$TMPDIR/three"
    [ "$status" -ne 0 ]
    # The reader of the pipe ends, while the container, which has closed its end, runs on: nobody else has it.
    coracle run -d --name "$c" --restart always --preserve-fds 1 busybox sh -c 'echo hello >&3; exec 3>&-; exec sleep 1000' 3> >(cat >"$TMPDIR/pipe"; echo end >>"$TMPDIR/pipe") >/dev/null
    pipe_ended() { [ "$(tr '\n' ' ' <"$TMPDIR/pipe")" = "hello end " ]; }
    wait_for pipe_ended
    coracle rm -f "$c" >/dev/null
    run bash -c 'coracle run --rm --preserve-fds 2 busybox true 3</dev/null 4<&-'
    assert_status 125
    assert_output_has "file descriptor 4 is not available"
    run bash -c 'coracle run --rm --preserve-fds 1 busybox true 3</'
    assert_status 125
    assert_output_has "file descriptor 3 is a directory"
    fails 125 "invalid value 257 for --preserve-fds" run --rm --preserve-fds 257 busybox true
    fails 125 "unknown flag: --preserve-fds" create --preserve-fds 1 busybox true
}

@test "completion: names that there are, by what a command takes; bash's function asks for them" {
    coracle run -d --name c-runs --network none busybox sleep 1000 >/dev/null
    coracle create --name c-made --network none busybox true >/dev/null
    coracle network create c-net >/dev/null
    coracle tag busybox c-image:1
    of() { coracle __complete "$@" | grep '^c-' | sort | xargs; }
    assert_eq "$(of rm '')" "c-made c-runs"
    assert_eq "$(of exec c-)" c-runs
    assert_eq "$(of stop '')" c-runs
    assert_eq "$(of container inspect c-m)" c-made
    assert_eq "$(of run c-)" c-image:1
    assert_eq "$(of run --network c-)" c-net
    assert_eq "$(coracle __complete kill -s USR | xargs)" "USR1 USR2"
    assert_eq "$(coracle __complete run --read-)" --read-only
    assert_eq "$(coracle __complete netw)" network
    run -0 bash -c 'source "$1" && COMP_WORDS=(coracle rm c-r) COMP_CWORD=2; _coracle; echo "${COMPREPLY[*]}"' - "$TESTS_DIR/../completions/coracle.bash"
    assert_eq "$output" c-runs
    coracle rm -f c-runs c-made >/dev/null
    coracle network rm c-net >/dev/null
    coracle rmi c-image:1 >/dev/null
}

@test "secrets are completed by their names" {
    coracle secret create sa - <<<x >/dev/null
    coracle secret create sb - <<<x >/dev/null
    assert_eq "$(coracle __complete secret rm '')" $'sa\nsb'
    assert_eq "$(coracle __complete run --secret s)" $'sa\nsb'
    assert_eq "$(coracle __complete secret inspect sa sb)" sb
    coracle secret rm sa sb >/dev/null
}

@test "--rmi: the image goes with its container, unless another has it" {
    coracle tag busybox gone:1
    run -3 coracle run --rmi --network none gone:1 sh -c 'exit 3'
    run -1 coracle image exists gone:1
    coracle create --name base busybox >/dev/null
    coracle commit base used:1 >/dev/null
    coracle create --name user used:1 true >/dev/null
    run -0 coracle run --rmi --network none used:1 true
    assert_eq "$output" ""
    coracle image exists used:1
    fails 125 "conflicting options: --rmi and --detach" run -d --rmi busybox true
    coracle rm user base >/dev/null
    coracle rmi used:1 >/dev/null
}

@test "what is refused says why and what to do" {
    fails 125 "coracle secret ls" run --secret x busybox true
    fails 125 "passwd" run --hostuser me busybox true
    fails 125 "start those first" run --requires x busybox true
    fails 125 "--health-start-period" run --health-startup-cmd x busybox true
    fails 1 "need root" checkpoint create x
    fails 1 "need root" container restore x
    fails 1 "'coracle commit'" container clone x
    fails 1 "one machine" swarm init
    fails 1 "'coracle container start' requires at least 1 argument" container start
    fails 1 "'coracle start' requires at least 1 argument" start
}
