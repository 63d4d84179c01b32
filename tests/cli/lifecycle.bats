#!/usr/bin/env bats
# lifecycle: create, start, stop, restart, kill, wait, rm and rename, with docker's wording and exit codes.
load ../lib/common

file_setup() { image busybox; }

state() { coracle inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$1"; }
logged() { coracle logs "$1" 2>&1 | grep -q "$2"; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }

@test "create prints an id, start the name, and the state goes created, running, exited" {
    name=$(unique)
    run -0 coracle create --name "$name" busybox sh -c 'echo here; exit 5'
    [[ $output =~ ^[0-9a-f]{64}$ ]] || fail "no id"
    assert_eq "$(state "$name")" "created 0"
    run -0 coracle start "$name"
    assert_eq "$output" "$name"
    run -0 coracle wait "$name"
    assert_eq "$output" 5
    assert_eq "$(state "$name")" "exited 5"
    run -0 coracle logs "$name"
    assert_eq "$output" here
    run -0 coracle rm "$name"
    assert_eq "$output" "$name"
    [ ! -e "$STORE/names/$name" ]
}

@test "a container answers to its name, /name, its id and a unique prefix of it" {
    name=$(unique)
    id=$(coracle create --name "$name" busybox true)
    for ref in "$name" "/$name" "$id" "${id:0:12}" "${id:0:20}"; do
        assert_eq "$(coracle inspect -f '{{.Id}}' "$ref")" "$id"
    done
    coracle rm "${id:0:12}"
}

@test "a name that is itself a prefix of another container's id goes first" {
    id=$(coracle create busybox true)
    other=$(coracle create --name "${id:0:6}" busybox true)
    assert_eq "$(coracle inspect -f '{{.Id}}' "${id:0:6}")" "$other"
    coracle rm "$other" "$id"
}

@test "start -a prints the output and gives the exit code; -i connects stdin" {
    coracle create --name attached busybox sh -c 'echo out; echo err >&2; exit 9'
    run --separate-stderr coracle start -a attached
    assert_status 9
    assert_eq "$output" out
    assert_eq "$stderr" err
    coracle create -i --name reads busybox cat
    run -0 bash -c 'echo through | coracle start -ai reads'
    assert_eq "$output" through
    run coracle start -a attached reads
    assert_status 1
    assert_output_has 'you cannot start and attach multiple containers at once'
    coracle rm attached reads
}

@test "start -a gives 127 and 126 as run does, and says why" {
    coracle create --name nocommand busybox no-such-program
    run coracle start -a nocommand
    [ "$status" = 1 ] || [ "$status" = 127 ] || fail "status"
    assert_output_has 'executable file not found in $PATH'
    run coracle start nocommand
    assert_status 1
    assert_eq "$(coracle inspect -f '{{.State.Running}}' nocommand)" false
    [[ $(coracle inspect -f '{{.State.ExitCode}} {{.State.Error}}' nocommand) == *"127 "*"not found"* ]] || fail "$(coracle inspect nocommand)"
    coracle rm nocommand
}

@test "starting what runs already changes nothing and is no error" {
    coracle run -d --name twice busybox sleep 1000
    pid=$(coracle inspect -f '{{.State.Pid}}' twice)
    run -0 coracle start twice
    assert_eq "$output" twice
    assert_eq "$(coracle inspect -f '{{.State.Pid}}' twice)" "$pid"
    coracle rm -f twice
}

@test "ten commands that start one container at once make one process" {
    coracle create --name race -v "$BATS_TEST_TMPDIR:/out" busybox sh -c 'echo started >>/out/starts; exec sleep 1000'
    for i in $(seq 10); do coracle start race >"$BATS_TEST_TMPDIR/o$i" 2>&1 & pids+=($!); done
    won=0
    for i in "${!pids[@]}"; do if wait "${pids[$i]}"; then won=$((won + 1)); fi; done
    [ "$won" -ge 1 ] || fail "nobody won: $(cat "$BATS_TEST_TMPDIR"/o*)"
    wait_for [ -s "$BATS_TEST_TMPDIR/starts" ]
    assert_eq "$(state race)" "running 0"
    assert_eq "$(wc -l <"$BATS_TEST_TMPDIR/starts")" 1
    # who lost says so in words, or saw it running
    run grep -hv -e '^race$' -e 'in use' -e 'is starting' -e 'being started' -e 'busy' "$BATS_TEST_TMPDIR"/o1 "$BATS_TEST_TMPDIR"/o{2..10}
    assert_eq "$output" ""
    coracle rm -f race
}

@test "stop is at once when the first process has no handler" {
    coracle run -d --name deaf busybox sleep 1000
    run -0 timeout "$(patience 60)" coracle stop -t 1000 deaf
    assert_eq "$output" deaf
    assert_eq "$(state deaf)" "exited 137"
    run -0 coracle stop deaf
    assert_eq "$output" deaf
    coracle rm deaf
}

@test "stop waits for a handler, and takes its exit code" {
    coracle run -d --name polite busybox sh -c 'trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.05; done'
    wait_for logged polite ready
    coracle stop -t 20 polite
    assert_eq "$(state polite)" "exited 3"
    run -0 coracle logs polite
    assert_eq "$output" $'ready\nbye'
    coracle rm polite
}

@test "stop kills after -t seconds, whatever the handler does" {
    coracle run -d --name stubborn --stop-timeout 1000 busybox sh -c 'trap "echo no" TERM; echo ready; while :; do sleep 0.05; done'
    wait_for logged stubborn ready
    coracle kill -s TERM stubborn
    wait_for logged stubborn no # the handler is there; whether it gets to it within a second is nobody's promise
    before=$(milliseconds)
    timeout "$(patience 60)" coracle stop -t 1 stubborn
    took=$(($(milliseconds) - before))
    [ "$took" -ge 900 ] || fail "it took $took ms"
    assert_eq "$(state stubborn)" "exited 137"
    assert_eq "$(coracle events --since 1h --until 0s -f container=stubborn -f event=kill --format '{{.Actor.Attributes.signal}}' | xargs)" "15 15 9"
    coracle rm stubborn
}

@test "--stop-signal and --stop-timeout of the container, --signal of the command" {
    coracle run -d --name usr --stop-signal USR1 --stop-timeout 20 busybox sh -c 'trap "exit 11" USR1; trap "exit 12" TERM; trap "exit 13" HUP; echo ready; while :; do sleep 0.05; done'
    wait_for logged usr ready
    coracle stop usr
    assert_eq "$(state usr)" "exited 11"
    coracle start usr
    wait_for eval '[ "$(coracle logs usr | grep -c ready)" = 2 ]'
    coracle stop -s SIGHUP usr
    assert_eq "$(state usr)" "exited 13"
    coracle start usr
    wait_for eval '[ "$(coracle logs usr | grep -c ready)" = 3 ]'
    coracle stop --signal 15 usr
    assert_eq "$(state usr)" "exited 12"
    assert_eq "$(coracle inspect -f '{{.Config.StopSignal}} {{.Config.StopTimeout}}' usr)" "USR1 20"
    coracle rm usr
    coracle run -d --name short --stop-timeout 1 busybox sh -c 'trap : TERM; echo ready; while :; do sleep 0.05; done'
    wait_for logged short ready
    before=$(milliseconds)
    coracle stop short
    [ $(($(milliseconds) - before)) -lt 9500 ] || fail "the container's own timeout was not used" # the default is ten seconds
    coracle rm short
}

@test "kill sends one signal, SIGKILL by default, and refuses what is no signal" {
    coracle run -d --name target busybox sh -c 'trap "echo got-usr1" USR1; echo ready; while :; do sleep 0.05; done'
    wait_for logged target ready
    for s in USR1 SIGUSR1 10 sigusr1; do coracle kill -s "$s" target; done
    wait_for logged target got-usr1
    assert_eq "$(state target)" "running 0"
    for bad in FOO 0 99 -1 SIG ''; do
        run coracle kill -s "$bad" target
        [ "$status" != 0 ] || fail "signal '$bad' was taken"
    done
    run coracle kill -s FOO target
    assert_status 1
    assert_output_has 'invalid signal: FOO'
    run -0 coracle kill target
    assert_eq "$output" target
    assert_eq "$(state target)" "exited 137"
    run coracle kill target
    assert_status 1
    assert_output_has 'is not running'
    coracle rm target
}

@test "wait prints a code for each name, also of containers that have ended" {
    coracle run -d --name w1 busybox sh -c 'read x; exit 1' </dev/null
    coracle run -d -i --name w2 busybox sh -c 'cat; exit 2'
    coracle run --name w3 busybox sh -c 'exit 3' || true
    coracle wait w2 >"$BATS_TEST_TMPDIR/w2" &
    waiter=$!
    coracle kill w2
    wait $waiter
    assert_eq "$(cat "$BATS_TEST_TMPDIR/w2")" 137
    run -0 coracle wait w1 w2 w3
    assert_eq "$output" $'1\n137\n3'
    run coracle wait w1 nosuch w3
    assert_status 1
    assert_output_has 'No such container: nosuch'
    assert_output_has $'\n3'
    coracle rm w1 w2 w3
}

@test "restart keeps the upper layer, the name and the id, and makes a new process" {
    id=$(coracle run -d --name again busybox sh -c 'echo x >>/root/count; wc -l </root/count; exec sleep 1000')
    wait_for logged again 1
    pid=$(coracle inspect -f '{{.State.Pid}}' again)
    run -0 coracle restart -t 5 again
    assert_eq "$output" again
    wait_for logged again 2
    assert_eq "$(coracle inspect -f '{{.Id}} {{.State.Running}}' again)" "$id true"
    [ "$(coracle inspect -f '{{.State.Pid}}' again)" != "$pid" ]
    coracle stop again
    run -0 coracle restart again
    wait_for logged again 3
    coracle rm -f again
}

@test "a start after an end: the log goes on, stdin is new, the exit code is the last one's" {
    coracle create -i --name codes busybox sh -c 'read n; exit $n'
    for n in 4 0 6; do
        run bash -c "echo $n | coracle start -ai codes"
        assert_status "$n"
        assert_eq "$(state codes)" "exited $n"
    done
    coracle rm codes
}

@test "rm refuses what runs, rm -f ends it, rm -v and aliases work" {
    coracle run -d --name busy busybox sleep 1000
    run coracle rm busy
    assert_status 1
    assert_output_has 'cannot remove container "/busy": container is running: stop the container before removing or force remove'
    assert_eq "$(state busy)" "running 0"
    pid=$(coracle inspect -f '{{.State.Pid}}' busy)
    run -0 coracle rm -fv busy
    assert_eq "$output" busy
    [ ! -e "/proc/$pid" ] || grep -q 'State:.Z' "/proc/$pid/status" || fail "its process lives"
    run coracle inspect busy
    assert_status 1
    coracle create --name busy busybox true
    coracle container remove busy
}

@test "several names with one missing: exit 1, the others are done" {
    for n in m1 m2; do coracle run -d --name $n busybox sleep 1000; done
    for cmd in stop start restart kill; do
        run --separate-stderr coracle $cmd m1 nosuch m2
        assert_status 1
        assert_eq "$output" $'m1\nm2'
        assert_eq "$stderr" "coracle: No such container: nosuch"
    done
    run --separate-stderr coracle rm m1 nosuch m2
    assert_status 1
    assert_eq "$output" $'m1\nm2'
    run -0 --separate-stderr coracle rm -f nosuch
    assert_eq "$output" ""
    assert_eq "$stderr" "coracle: No such container: nosuch"
}

@test "commands on what does not exist: docker's words and exit codes" {
    for cmd in "stop x" "kill x" "rm x" "wait x" "start x" "restart x" "logs x" "attach x" "rename x yy"; do
        run coracle $cmd
        assert_status 1
        assert_eq "$output" "coracle: No such container: x"
    done
    run coracle exec x true
    [ "$status" = 1 ] || [ "$status" = 125 ] || fail "status of exec"
    assert_output_has "No such container: x"
}

@test "--rm removes a container that ends, is stopped, is killed, or cannot be started" {
    coracle run -d --rm --name r1 busybox sleep 1000
    coracle stop r1
    wait_for [ ! -e "$STORE/names/r1" ]
    coracle run -d --rm --name r2 busybox sleep 1000
    coracle kill r2
    wait_for [ ! -e "$STORE/names/r2" ]
    run coracle run --rm --name r3 busybox no-such-program
    assert_status 127
    [ ! -e "$STORE/names/r3" ]
    coracle create --rm --name r4 busybox true
    coracle start -a r4
    wait_for [ ! -e "$STORE/names/r4" ]
    wait_for eval '[ -z "$(coracle ps -aq)" ]' # the name goes first
}

@test "--rm with -d runs, and its name is free when wait answers" {
    for i in $(seq 10); do
        coracle run -d --rm --name reused busybox sleep 0.05 >/dev/null
        coracle wait reused >/dev/null 2>&1 || true
        wait_for [ ! -e "$STORE/names/reused" ]
    done
}

@test "rename: the new name works, the old is free, a taken one is refused" {
    coracle create --name old1 busybox true
    coracle create --name taken1 busybox true
    run -0 coracle rename old1 new1
    assert_eq "$output" ""
    coracle inspect new1 >/dev/null
    run coracle inspect old1
    assert_status 1
    run coracle rename new1 taken1
    assert_status 1
    assert_output_has 'is already in use by container'
    run coracle rename new1 new1
    assert_status 1
    assert_output_has 'Renaming a container with the same name as its current name'
    run coracle rename new1 'bad/name'
    assert_status 1
    assert_output_has 'Invalid container name'
    coracle create --name old1 busybox true
    coracle rm new1 old1 taken1
}

@test "rename while update writes the same record: neither is lost" {
    coracle create --name old3 busybox true >/dev/null
    writes_slowly coracle update --restart always old3
    wait_for grep -qs '"container.json"' "$BATS_TEST_TMPDIR/trace"
    coracle rename old3 new3
    wait $!
    assert_eq "$(coracle inspect -f '{{.Name}} {{.HostConfig.RestartPolicy.Name}}' new3)" "/new3 always"
    coracle system check --quick
    coracle rm new3
}

@test "rename of a running container: it goes on, ps and stop know the new name" {
    coracle run -d --name live1 busybox sleep 1000
    coracle rename live1 live2
    assert_eq "$(coracle ps --format '{{.Names}}')" live2
    coracle stop live2
    coracle rm live2
}

@test "20 containers started 8 at a time all run, each once" {
    seq 20 | xargs -P 8 -I N coracle run -d --name par-N busybox sh -c 'echo one-N; exec sleep 1000' >"$BATS_TEST_TMPDIR/ids"
    assert_eq "$(wc -l <"$BATS_TEST_TMPDIR/ids")" 20
    assert_eq "$(coracle ps -q | wc -l)" 20
    for i in $(seq 20); do
        wait_for logged "par-$i" "one-$i"
        assert_eq "$(coracle logs "par-$i")" "one-$i"
    done
    # shellcheck disable=SC2046
    run -0 coracle rm -f $(coracle ps -q)
    assert_eq "$(wc -l <<<"$output")" 20
    assert_eq "$(coracle ps -aq)" ""
}

@test "40 foreground runs at 8 at a time each give their own code" {
    seq 40 | xargs -P 8 -I N sh -c 'coracle run --rm --network none busybox sh -c "exit N"; [ $? = N ] || echo wrong N' >"$BATS_TEST_TMPDIR/wrong"
    assert_eq "$(cat "$BATS_TEST_TMPDIR/wrong")" ""
}

@test "create --print-spec is an OCI runtime config and makes nothing" {
    wait_for eval '[ -z "$(find "$STORE/containers" "$STORE/tmp" -mindepth 1)" ]' # whose --rm containers have ended may not be deleted yet
    before=$(find "$STORE" | sort)
    coracle create --print-spec --name spec -e A=b -w /tmp -u 1000 --cap-drop ALL --read-only -v /tmp:/mnt:ro busybox echo hi >"$BATS_TEST_TMPDIR/spec.json"
    run -0 jq -er '.ociVersion, .process.cwd, .process.args[1], .root.readonly, (.mounts[] | select(.destination == "/mnt") | .source)' "$BATS_TEST_TMPDIR/spec.json"
    [[ ${lines[0]} =~ ^1\.[0-9]+\.[0-9]+ ]] || fail "ociVersion"
    assert_eq "${lines[*]:1}" "/tmp hi true /tmp"
    jq -e '.process.env | index("A=b")' "$BATS_TEST_TMPDIR/spec.json"
    jq -e '.linux.namespaces | map(.type) | contains(["pid", "mount", "ipc", "uts", "network"])' "$BATS_TEST_TMPDIR/spec.json"
    jq -e '.process.capabilities | all(length == 0)' "$BATS_TEST_TMPDIR/spec.json"
    jq -e '.annotations["org.coracle.seccomp"] == "default"' "$BATS_TEST_TMPDIR/spec.json" # the filter itself is made at build time
    assert_eq "$(find "$STORE" | sort)" "$before"
}

@test "what a container wrote survives stop and start, and goes with rm" {
    coracle run -d --name keeps busybox sh -c 'cat /root/f 2>/dev/null; echo kept >/root/f; exec sleep 1000'
    wait_for coracle exec keeps test -s /root/f
    coracle stop keeps
    coracle start keeps
    wait_for logged keeps kept
    coracle rm -f keeps
    coracle run --rm busybox test ! -e /root/f
}

@test "the group spellings are the same commands" {
    coracle container create --name grp busybox sleep 1000
    coracle container start grp
    coracle container ls | grep -q grp
    coracle container exec grp true
    coracle container stop grp
    coracle container rename grp grp2
    coracle container rm grp2
}

keeper() { cut -d' ' -f1 "$XDG_RUNTIME_DIR/coracle/userns.kept"; }
keeper_gone() { [ ! -e "/proc/$1/fd/0" ]; }
# keep: runs a container, and stops the process that keeps its user namespace before that ends: its time is as long as the test wants.
# Sets $namespace and $pid. Without a network: a container with one goes into the namespace of the networks' helper, if that still has one.
keep() {
    namespace=$(coracle run --rm --network none busybox readlink /proc/self/ns/user)
    pid=$(keeper) && kill -STOP "$pid" || return
    ! ls -l "/proc/$pid/fd" | grep -qF "$namespace" || return 0
    kill -CONT "$pid" # another one's
    return 1
}

@test "the user namespace outlives a container by a moment, then nothing is left" {
    wait_for keep
    # what it holds: /dev/null, the run directory and the namespace; nothing of the command's, whose pipes would never end
    assert_eq "$(find "/proc/$pid/fd" -lname '*pipe*' -o -lname '*socket*' -o -lname '*tty*' -o -lname '*/containers/*')" ""
    assert_eq "$(readlink "/proc/$pid/cwd")" /
    assert_eq "$(tr -d '\0' <"/proc/$pid/cmdline")" coracle-keep
    assert_eq "$(coracle run --rm --network none busybox readlink /proc/self/ns/user)" "$namespace"
    assert_eq "$(keeper)" "$pid"
    kill -CONT "$pid"
    wait_for keeper_gone "$pid"
    coracle run --rm --network none busybox true
    wait_for eval '[ "$(keeper)" != "$pid" ]' # it writes its record itself
}

@test "a kept namespace that is killed costs nothing but a new one" {
    coracle run --rm busybox true
    wait_for test -s "$XDG_RUNTIME_DIR/coracle/userns.kept"
    kill -9 "$(keeper)" 2>/dev/null || true
    coracle run --rm busybox true
    printf '1 1 3 65537\n' >"$XDG_RUNTIME_DIR/coracle/userns.kept" # a record of somebody else's process
    rm "$XDG_RUNTIME_DIR/coracle/userns"
    coracle run --rm busybox true
}

@test "the command line of a monitor tells the container, and no secret of its options" {
    coracle run -d --name discreet -e PASSWORD=swordfish busybox sleep 1000
    id=$(coracle inspect -f '{{.Id}}' discreet)
    pid=$(cut -d' ' -f1 "$XDG_RUNTIME_DIR/coracle/$id/monitor")
    assert_eq "$(tr -d '\0' <"/proc/$pid/cmdline")" "coracle-mon ${id:0:12}"
    coracle rm -f discreet
}
