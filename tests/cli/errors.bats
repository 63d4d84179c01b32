#!/usr/bin/env bats
# errors: what is wrong is named, with the way out where there is one, in docker's exit codes; and nothing is left behind.
load ../lib/common

file_setup() {
    image busybox
    coracle create --name existing busybox true >/dev/null
    coracle run --rm busybox true # what the first start leaves in the run directory is there from now on
}

# The journal of events grows with what is tried and undone, a user namespace is kept for a while.
everything() { (find "$HOME" ! -name events.jsonl -printf '%P %s\n' && find "$XDG_RUNTIME_DIR" ! -name 'userns*' -printf '%P\n') 2>/dev/null | sort; }

# What a command has put aside is taken away behind its back, which may take a moment.
settled() { [ -z "$(ls "$STORE/tmp")" ]; }
remember() { wait_for settled && before=$(everything); }
as_before() { settled && [ "$(everything)" = "$before" ]; }

# refused CODE TEXT ARGS…: exit code and words, no trace, no stack of usage without a reason
refused() {
    local code=$1 text=$2 before
    shift 2
    remember
    run coracle "$@" </dev/null
    assert_status "$code"
    assert_output_has "$text"
    wait_for as_before || fail "coracle $* left something:" "$(diff <(echo "$before") <(everything))"
}

@test "commands and flags that do not exist" {
    refused 1 'unknown command: coracle nosuch' nosuch
    refused 1 'unknown command: coracle container nosuch' container nosuch
    refused 125 'unknown flag: --nosuch' run --nosuch busybox
    refused 125 "unknown shorthand flag: 'y' in -y" run -y busybox
    refused 125 "unknown shorthand flag: 'y' in -y" run -ty busybox
    refused 125 'unknown flag: --nosuch' ps --nosuch
    refused 125 'unknown flag: --nosuch' --nosuch ps
    refused 125 'flag needs an argument: --name' run --name
    refused 125 "flag needs an argument: 'e' in -e" run -e
    refused 125 'invalid argument "maybe" for "--rm" flag' run --rm=maybe busybox
}

@test "too few and too many arguments" {
    refused 1 "'coracle run' requires at least 1 argument" run
    refused 1 "'coracle ps' accepts no arguments" ps extra
    refused 1 "'coracle rename' requires 2 arguments" rename one
    refused 1 "'coracle logs' requires" logs
    refused 1 "requires at least 1 argument" rm
    refused 1 "requires at least 2 arguments" exec existing
}

@test "images that are not there, and names that are none" {
    refused 125 'No such image: nosuch' run --pull never nosuch:tag
    refused 125 'invalid reference format' run Busybox:UPPER:x
    refused 125 'repository name' run BUSYBOX
    refused 125 'invalid reference format' run ''
    refused 125 'invalid reference format' run busybox@sha256:12
    refused 125 "invalid pull option: 'sometimes'" run --pull sometimes busybox
    refused 125 '' run --pull never --platform linux/nosucharch busybox
    refused 125 'does not match the specified platform' run --pull never --platform linux/s390x busybox
}

@test "names in use and names that are none" {
    refused 125 'The container name "/existing" is already in use by container' run --name existing busybox
    refused 1 'The container name "/existing" is already in use by container' create --name existing busybox
    for bad in x -x .x _x a/b 'a b' 'a:b' ../x $'a\nb' ''; do
        remember
        run coracle run --rm --name "$bad" busybox true
        [ "$status" = 125 ] || [ -z "$bad" ] || fail "the name '$bad' was taken"
        [ -z "$bad" ] || wait_for as_before || fail "something is left of '$bad'"
    done
    refused 125 'Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed' create --name a/b busybox
}

@test "volumes and mounts" {
    refused 125 'invalid' run -v :/x busybox
    refused 125 'invalid' run -v /a:/b:/c:/d busybox
    refused 125 'invalid mode: bogus' run -v /tmp:/x:bogus busybox
    refused 125 'relative' run -v /tmp:relative busybox
    refused 125 '' run -v /tmp:/ busybox
    refused 125 'bind source path does not exist: /no/such/dir' run --mount type=bind,src=/no/such/dir,dst=/x busybox
    refused 125 'bind source path does not exist: /proc/docker.sock' run -v /proc/docker.sock:/x busybox
    assert_output_has 'no daemon, and so no socket'
    refused 125 'target' run --mount type=bind,src=/tmp busybox
    refused 125 'bogus' run --mount type=bogus,dst=/x busybox
    refused 125 'nosuch' run --mount type=bind,src=/tmp,dst=/x,nosuch=1 busybox
    refused 125 'plugin "nfs" not found' run --volume-driver nfs -v named:/x busybox
    refused 125 'No such container' run --volumes-from nobody busybox
    refused 125 'invalid characters for a local volume name' run --mount src=a/b,dst=/x busybox
    refused 125 '' run --tmpfs relative busybox
    refused 125 '/x' run -v /tmp:/x -v /usr:/x busybox
}

@test "environment, labels, users, directories" {
    refused 125 'o such file or directory' run --env-file /no/such/file busybox
    refused 125 'o such file or directory' run --label-file /no/such/file busybox
    refused 125 '' run -e =value busybox
    refused 125 'invalid' run -w relative busybox
    refused 125 'unable to find user nosuchuser: no matching entries in passwd file' run --rm -u nosuchuser busybox true
    refused 125 'nosuchgroup' run --rm -u 0:nosuchgroup busybox true
    refused 125 'nosuchgroup' run --rm --group-add nosuchgroup busybox true
    refused 125 '' run --rm -u 99999999999 busybox true
    refused 125 '' run --rm -u -1 busybox true
    refused 125 '' run --rm -u 4294967295 busybox true
}

@test "limits, capabilities, sysctls, devices, security options" {
    refused 125 'invalid ulimit type: nosuch' run --ulimit nosuch=1 busybox
    refused 125 'ulimit soft limit must be less than or equal to hard limit' run --ulimit nofile=20:10 busybox
    refused 125 'nofile' run --ulimit nofile busybox
    refused 125 'NOSUCH' run --cap-add NOSUCH busybox
    refused 125 'NOSUCH' run --cap-drop NOSUCH busybox
    refused 125 "kernel.nosuch" run --sysctl kernel.nosuch=1 busybox
    refused 125 '' run --sysctl novalue busybox
    refused 125 '/dev/nosuch' run --rm --device /dev/nosuch busybox true
    refused 125 'bad' run --device /dev/null:/dev/null:bad busybox
    refused 125 '/no/such/profile' run --security-opt seccomp=/no/such/profile busybox
    echo '{"defaultAction":"SCMP_ACT_BOGUS"}' >"$BATS_TEST_TMPDIR/bad.json"
    refused 125 '' run --rm --security-opt "seccomp=$BATS_TEST_TMPDIR/bad.json" busybox true
    refused 125 'bogus' run --security-opt bogus=1 busybox
    refused 125 'shm-size' run --shm-size 12q busybox
    refused 125 'stop-timeout' run --stop-timeout soon busybox
    refused 125 'NOSUCH' run --stop-signal NOSUCH busybox
    refused 125 '' run --oom-score-adj 5000 busybox
}

@test "namespaces, networks, hosts, restart policies" {
    refused 125 'nosuch' run --rm --network container:nosuch busybox true
    refused 125 'nosuch' run --network nosuch busybox
    refused 125 'invalid PID mode' run --pid bogus busybox
    refused 125 'invalid IPC mode' run --ipc bogus busybox
    refused 125 'invalid UTS mode' run --uts bogus busybox
    refused 125 'invalid USER mode' run --userns bogus busybox
    refused 125 'is created' run --rm --pid container:existing busybox true
    refused 125 'bad' run --add-host bad busybox
    refused 125 'not-an-ip' run --dns not-an-ip busybox
    refused 125 'bogus' run --restart bogus busybox
    refused 125 'conflicting options' run --rm --restart always busybox
    refused 125 '' run -h 'bad host name' busybox
}

@test "what cannot be had is refused with the reason" {
    refused 125 'could not select device driver' run --gpus all busybox
    for flag in '--use-api-socket' '--storage-opt size=1g' '--isolation hyperv'; do
        # shellcheck disable=SC2086
        refused 125 "${flag%% *}" run $flag busybox
        [[ $output == *later* || $output == *root* || $output == *not* ]] || fail "no reason for $flag"
    done
}

@test "formats and filters that do not parse" {
    refused 1 'template' ps --format '{{.Names'
    refused 1 'template' ps --format '{{end}}'
    refused 64 'template' inspect -f '{{if}}' existing
    refused 1 'invalid filter' ps -f nosuch=1
    refused 1 'invalid filter' images -f nosuch=1
}

@test "--cidfile: one that is there, one that cannot be written leaves no container" {
    touch "$BATS_TEST_TMPDIR/cid"
    refused 125 'container ID file found' run --cidfile "$BATS_TEST_TMPDIR/cid" busybox
    refused 125 '/no/such/dir' run --rm --cidfile /no/such/dir/cid busybox true
}

@test "errors go to stderr, and say the program's name" {
    run --separate-stderr coracle rm nosuch
    assert_eq "$output" ""
    assert_eq "$stderr" "coracle: No such container: nosuch"
    run --separate-stderr coracle run --nosuch x
    assert_eq "$output" ""
    [[ $stderr == *"Run 'coracle run --help'"* ]] || fail "no way out: $stderr"
}

@test "control characters of an argument are not sent to the terminal" {
    run coracle rm "$(printf 'a\033[2Jb')"
    [[ $output != *$'\033'* ]] || fail "an escape sequence"
    run coracle "$(printf 'a\033[2Jb')"
    [[ $output != *$'\033'* ]] || fail "an escape sequence in an unknown command"
    run coracle run "--$(printf 'a\033[2Jb')"
    [[ $output != *$'\033'* ]] || fail "an escape sequence in an unknown flag"
}

@test "output to a full device: exit 1 and the reason, for every command that prints" {
    for cmd in ps "ps -a" images version info "inspect existing" "image inspect busybox" --help "run --help" --version "create --print-spec busybox"; do
        run bash -c "coracle $cmd >/dev/full"
        assert_status 1
        assert_output_has 'no space left on device'
    done
    run bash -c 'coracle run --rm busybox echo text >/dev/full'
    [ "$status" != 0 ] || fail "run says 0"
}

@test "output to a closed pipe ends quietly" {
    run bash -c 'set -o pipefail; coracle inspect existing existing existing | true'
    refute_output_has Broken
}

@test "1,000 bad command lines in a row end in an error each, and leave nothing" {
    remember
    python3 - <<'P' >"$BATS_TEST_TMPDIR/lines"
import random
random.seed(7)
words = ["run", "create", "exec", "ps", "-it", "--rm", "--name", "-v", ":", "::", "=", "", "-", "--", "-e", "--mount", "type=", "{{", "\\", "%s%n", "-1",
         "99999999999999999999", "a" * 300, "é", "--ulimit", "--device", "--cap-add", "/", "..", "-f", "--filter", "--format", "container", "image", "@", "nosuch"]
for _ in range(1000):
    print("\0".join(["nosuchcommand" if random.random() < .1 else random.choice(words)] + [random.choice(words) for _ in range(random.randrange(6))]))
P
    while IFS= read -r line; do
        code=0
        mapfile -d '' -t args < <(printf '%s\0' "$line")
        timeout "$HUNG" coracle "${args[@]}" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 || code=$?
        [ "$code" -lt 124 ] || [ "$code" = 125 ] || fail "exit $code of: ${args[*]}" "$(cat "$BATS_TEST_TMPDIR/out")"
    done <"$BATS_TEST_TMPDIR/lines"
    wait_for as_before || fail "something is left:" "$(diff <(echo "$before") <(everything))"
}
