#!/usr/bin/env bats
# exec: a second process in a running container.
load ../lib/common
load ../lib/terminal

file_setup() {
    image busybox
    coracle run -d --name box -e BOX=yes -w /tmp --ulimit nofile=123:456 --label a=b busybox sleep 100000 >/dev/null
}
teardown() { term_close; }

runs_in() { coracle exec "$1" ps | grep -v ' ps' | grep -qF -- "$2"; }

@test "exec runs a command and gives its exit code" {
    run -0 coracle exec box echo hello
    assert_eq "$output" hello
    for code in 0 1 7 125 255; do
        run coracle exec box sh -c "exit $code"
        assert_status "$code"
    done
    run coracle exec box sh -c 'kill -TERM $$'
    assert_status 143
}

@test "a command that is not there is 127, one that cannot be executed 126" {
    run -127 coracle exec box no-such-program
    assert_output_has 'exec: "no-such-program": executable file not found in $PATH'
    run -127 coracle exec box /no/such/program
    assert_output_has 'no such file or directory'
    run -126 coracle exec box /etc
    assert_output_has 'is a directory'
    run -126 coracle exec box /etc/passwd
    assert_output_has 'permission denied'
    run -126 coracle exec -d box /etc/passwd
    run -127 coracle exec -d box no-such-program
}

@test "stdout and stderr stay apart" {
    run --separate-stderr -0 coracle exec box sh -c 'echo out; echo err >&2'
    assert_eq "$output" out
    assert_eq "$stderr" err
}

@test "stdin reaches the command with -i and not without" {
    run -0 bash -c 'echo text | coracle exec -i box cat'
    assert_eq "$output" text
    run -0 bash -c 'echo text | coracle exec box cat'
    assert_eq "$output" ""
    run -0 bash -c 'coracle exec -i box cat </dev/null'
    assert_eq "$output" ""
    # a command that ends before its input has been read; where SIGPIPE is ignored, as below systemd, yes says so
    run -0 bash -c 'yes 2>/dev/null | coracle exec -i box head -n 1'
    assert_eq "$output" y
}

@test "10 MB arrive whole, in both directions" {
    head -c 10000000 /dev/urandom >"$BATS_TEST_TMPDIR/in"
    coracle exec -i box cat <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
    cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
    coracle exec -i box sh -c 'cat >/root/big' <"$BATS_TEST_TMPDIR/in"
    coracle exec box cat /root/big | cmp - "$BATS_TEST_TMPDIR/in"
    coracle exec box sh -c 'cat /root/big >&2' 2>"$BATS_TEST_TMPDIR/out"
    cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
}

@test "a reader that goes away ends the command, not with a hang" {
    run timeout "$(patience 20)" bash -c 'coracle exec box yes | head -n 1'
    assert_status 0
    assert_eq "$output" y
    wait_for eval '! coracle exec box pidof yes'
}

@test "environment and directory are the container's, -e, --env-file and -w change them" {
    run -0 coracle exec box sh -c 'echo $BOX $FROM_IMAGE $HOME; pwd'
    assert_eq "$output" $'yes yes /root\n/tmp'
    printf 'F=file\nBOX=file\n' >"$BATS_TEST_TMPDIR/env"
    FROMHOST=host run -0 coracle exec --env-file "$BATS_TEST_TMPDIR/env" -e BOX=flag -e FROMHOST -e EMPTY= box env
    assert_output_has BOX=flag
    assert_output_has F=file
    assert_output_has FROMHOST=host
    assert_output_has EMPTY=
    refute_output_has XDG_RUNTIME_DIR
    run -0 coracle exec -w /etc box pwd
    assert_eq "$output" /etc
    run coracle exec -w /no/such box pwd
    assert_status 126
    assert_output_has '/no/such'
    coracle exec box test ! -e /no/such
}

@test "-u: names, ids, groups, a home of one's own, and no capabilities" {
    run -0 coracle exec -u alice box sh -c 'id -un; id -gn; id -G; echo $HOME'
    assert_eq "$output" $'alice\nalice\n1000 44\n/home'
    run -0 coracle exec -u 1000:staff box sh -c 'id -u; id -g'
    assert_eq "$output" $'1000\n50'
    run -0 coracle exec -u 4321 box sh -c 'id -u; id -g'
    assert_eq "$output" $'4321\n0'
    run -0 coracle exec -u alice box grep -E 'Cap(Eff|Prm|Inh|Amb)' /proc/self/status
    refute_output_has a80425fb
    run coracle exec -u nobodyknows box true
    assert_status 126
    assert_output_has 'unable to find user nobodyknows'
    # what alice may not, she may not
    run coracle exec -u alice box sh -c 'touch /etc/x'
    assert_status 1
}

@test "the user of the container is the user of an exec, and -u 0 gets root back" {
    coracle run -d --name asalice -u alice busybox sleep 1000
    run -0 coracle exec asalice id -un
    assert_eq "$output" alice
    run -0 coracle exec -u 0 asalice sh -c 'id -un; grep CapEff /proc/self/status'
    assert_output_has root
    assert_output_has 00000000a80425fb
    coracle rm -f asalice
}

@test "capabilities: the container's, or all with --privileged" {
    run -0 coracle exec box grep CapEff /proc/self/status
    assert_output_has 00000000a80425fb
    run -0 coracle exec --privileged box grep -E 'CapEff|Seccomp:' /proc/self/status
    refute_output_has a80425fb
    coracle run -d --name nocaps --cap-drop ALL busybox sleep 1000
    run -0 coracle exec nocaps grep -E 'Cap(Eff|Bnd|Prm|Inh)' /proc/self/status
    [ "$(grep -c 0000000000000000 <<<"$output")" = 4 ] || fail "capabilities"
    coracle rm -f nocaps
}

@test "namespaces, limits, seccomp and no_new_privs are those of the container" {
    run -0 coracle exec box sh -c 'for n in user pid net ipc uts mnt cgroup; do [ "$(readlink /proc/self/ns/$n)" = "$(readlink /proc/1/ns/$n)" ] || echo $n differs; done'
    assert_eq "$output" ""
    run -0 coracle exec box sh -c 'cmp /proc/1/limits /proc/self/limits; cmp /proc/1/oom_score_adj /proc/self/oom_score_adj; cmp /proc/1/cgroup /proc/self/cgroup; ulimit -n; ulimit -Hn'
    assert_eq "$output" $'123\n456'
    run -0 coracle exec box sh -c 'for f in Seccomp Seccomp_filters NoNewPrivs CapBnd CapInh CapAmb CapEff Groups Umask; do a=$(grep "^$f:" /proc/1/status) b=$(grep "^$f:" /proc/self/status); [ "$a" = "$b" ] || echo "$a / $b"; done; grep ^Seccomp: /proc/self/status'
    assert_eq "$output" $'Seccomp:\t2'
    run coracle exec box unshare -U true
    [ "$status" != 0 ] || fail "seccomp let unshare pass"
}

@test "the parent of an exec'd process is not a process of the host" {
    run -0 coracle exec box sh -c 'grep PPid /proc/self/status; ps | grep -c .'
    assert_output_has $'PPid:'
    refute_output_has coracle
    run -0 coracle exec box ps -o pid,comm
    refute_output_has coracle
}

@test "no descriptor of the host leaks in" {
    run -0 coracle exec box sh -c 'ls /proc/self/fd | tr "\n" " "'
    assert_eq "$output" "0 1 2 3 "
    exec 7</etc/passwd
    run -0 coracle exec box ls -l /proc/self/fd
    exec 7<&-
    refute_output_has passwd
    refute_output_has "$CTR_HOME"
    run -0 bash -c 'coracle exec -i box ls -l /proc/self/fd </etc/passwd >"$1"; cat "$1"' - "$BATS_TEST_TMPDIR/o"
    refute_output_has passwd
    refute_output_has "$BATS_TEST_TMPDIR"
}

@test "100 execs one after another leave no process and no file" {
    processes() { coracle exec box sh -c 'set -- /proc/[0-9]*; echo $#'; } # a pipeline's would be more or fewer
    before=$(processes)
    files=$(find "$CTR_HOME/run" "$STORE/containers" "$STORE/tmp" 2>/dev/null | sort)
    for i in $(seq 100); do
        out=$(coracle exec box echo "$i")
        [ "$out" = "$i" ] || fail "round $i: $out"
    done
    assert_eq "$(processes)" "$before"
    assert_eq "$(find "$CTR_HOME/run" "$STORE/containers" "$STORE/tmp" 2>/dev/null | sort)" "$files"
}

@test "30 execs at once each have their own output and code" {
    seq 30 | xargs -P 10 -I N sh -c 'o=$(coracle exec box sh -c "echo N; exit N"); [ "$o $?" = "N N" ] || echo "wrong N: $o"' >"$BATS_TEST_TMPDIR/wrong"
    assert_eq "$(cat "$BATS_TEST_TMPDIR/wrong")" ""
}

@test "-d returns at once, prints nothing, and the command goes on" {
    run -0 timeout "$(patience 20)" coracle exec -d box sh -c 'while [ ! -e /root/go ]; do sleep 0.05; done; touch /root/went'
    assert_eq "$output" ""
    coracle exec box touch /root/go
    wait_for coracle exec box test -e /root/went
}

@test "a command outlives its killed client, as with docker, and hears of it when it writes" {
    coracle exec box sh -c 'echo begun; while [ ! -e /root/on ]; do sleep 0.05; done; touch /root/silent; echo lost; touch /root/wrote' >"$BATS_TEST_TMPDIR/out" 3>&- &
    cli=$!
    wait_for grep -q begun "$BATS_TEST_TMPDIR/out"
    kill -KILL $cli
    wait $cli || true
    coracle exec box touch /root/on
    wait_for coracle exec box test -e /root/silent
    wait_for eval '! runs_in box "echo begun"'
    coracle exec box test ! -e /root/wrote
}

@test "a command whose process is stopped before it begins does not hold the client against Ctrl-C" {
    coracle run -d --name stopper busybox sh -c 'while :; do kill -STOP -1; done'
    stuck=0
    for round in {1..40}; do
        [ "$round" -le 4 ] || [ "$stuck" = 0 ] || break # who stops them may have been unlucky
        local jobs=()
        for _ in 1 2 3 4 5; do
            timeout -s INT -k 10 1 coracle exec stopper true 3>&- &
            jobs+=($!) # not what "jobs -p" has, where a limit of bats for the test is a job, too
        done
        for job in "${jobs[@]}"; do
            code=0
            wait "$job" || code=$?
            case $code in 0) ;; 124) stuck=$((stuck + 1)) ;; *) fail "the client did not take the interrupt: $code" ;; esac
        done
    done
    [ "$stuck" -gt 0 ] || fail "nothing was ever stopped"
    coracle rm -f stopper
}

@test "the null device of the client is the container's own, in both directions" {
    for redirect in '>/dev/null' '2>/dev/null' '>/dev/null 2>&1' '</dev/null' '</dev/null >/dev/null 2>&1'; do
        run -7 bash -c "coracle exec -i box sh -c 'cat; echo out; echo err >&2; exit 7' $redirect"
    done
    run -0 bash -c 'coracle exec -i box sh -c "exec 3>&1; cd /proc/self/fd; readlink 0 >&2; readlink 3 >&2; stat -c %d:%i -L 3 /dev/null >&2" </dev/null 2>&1 >/dev/null'
    assert_eq "${lines[0]} ${lines[1]}" "/dev/null /dev/null"
    assert_eq "${lines[2]}" "${lines[3]}"
    run -0 bash -c 'echo text | coracle exec -i box sh -c "cat >&2" 2>&1 >/dev/null'
    assert_eq "$output" text
}

@test "a client whose caller ignores the end of children gets the exit code" {
    run -3 python3 -c 'import os, signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp("coracle", ["coracle", "exec", "box", "sh", "-c", "exit 3"])'
}

@test "a config that somebody has laid out anew is read all the same, a broken one named" {
    coracle run -d --name other -e OTHER=1 -u alice --cap-drop CHOWN busybox sleep 1000
    file=$STORE/containers/$(coracle inspect -f '{{.Id}}' other)/config.json
    probe='id -un; echo $OTHER; grep -E "Cap|Seccomp:" /proc/self/status; readlink /proc/self/ns/net'
    before=$(coracle exec other sh -c "$probe")
    cp "$file" "$BATS_TEST_TMPDIR/config"
    python3 -c 'import json, sys; c = json.load(open(sys.argv[1])); json.dump(c, open(sys.argv[1], "w"), indent=4)' "$file"
    assert_eq "$(coracle exec other sh -c "$probe")" "$before"
    head -c 300 "$BATS_TEST_TMPDIR/config" >"$file"
    run coracle exec other true
    assert_status 1
    assert_output_has 'config.json'
    cp "$BATS_TEST_TMPDIR/config" "$file"
    coracle rm -f other
}

@test "an exec ends with its container, and says so in its exit code" {
    coracle run -d --name ending busybox sleep 1000
    coracle exec ending sh -c 'echo begun; exec sleep 1000' >"$BATS_TEST_TMPDIR/out" 3>&- &
    cli=$!
    wait_for grep -q begun "$BATS_TEST_TMPDIR/out"
    coracle stop ending
    code=0
    wait $cli || code=$?
    assert_eq "$code" 137
    coracle rm ending
}

@test "exec in what does not run is refused in docker's words" {
    coracle create --name still busybox true
    run coracle exec still true
    assert_status 1
    assert_output_has 'is not running'
    coracle rm still
    run coracle exec nosuch true
    assert_status 1
    assert_output_has 'No such container: nosuch'
    run coracle exec box
    assert_status 1
    assert_output_has "requires at least 2 arguments"
    run coracle exec --no-such-flag box true
    assert_status 125
    assert_output_has 'unknown flag: --no-such-flag'
}

@test "flags after the container's name belong to the command" {
    run -0 coracle exec box echo -i -t --help
    assert_eq "$output" "-i -t --help"
}

@test "-t without -i, and with a standard input that is no terminal" {
    run -0 bash -c 'coracle exec -t box sh -c "test -t 1 && echo tty" </dev/null'
    assert_output_has tty
    run bash -c 'echo x | coracle exec -it box cat'
    assert_status 1
    assert_output_has 'the input device is not a TTY'
}

@test "exec -it in a terminal: size, TERM, job control, Ctrl-C, exit code" {
    term_open 91 27
    term_type "coracle exec -it box sh; echo \"code=\$?\""
    term_expect '/tmp #'
    term_type 'stty size; echo TERM-is-$TERM'
    term_expect '27 91'
    term_expect 'TERM-is-xterm'
    term_resize 60 20
    # the shell asks again until it has been told: a resize is an event of its own
    term_type 'until [ "$(stty size)" = "20 60" ]; do usleep 20000; done; echo resi""zed'
    term_expect resized
    term_type 'sleep 4241'
    wait_for runs_in box 'sleep 4241'
    term_keys C-c
    term_type 'echo still-he""re'
    term_expect 'still-here'
    term_type 'exit 33'
    term_expect 'code=33'
}

@test "exec -it: nothing is lost of what a command says that ends at once" {
    term_open
    term_type "for i in \$(seq $(rounds 30)); do coracle exec -it box echo line-\$i; done | grep -c line-; echo o''ver"
    TEST_PATIENCE=$(patience 4) term_expect over # a second for each
    assert_eq "$(term_screen | grep -xE "[0-9]+")" "$(rounds 30)"
    # of a command that says more than a terminal holds, and then ends
    term_type 'for i in 1 2 3; do coracle exec -it box seq 20000 >"$TMPDIR/said"; tr -d "\r" <"$TMPDIR/said" | cksum; done; seq 20000 | cksum; echo al""so'
    term_expect also
    assert_eq "$(term_screen | grep -c "^$(seq 20000 | cksum)")" 4
    term_close
}

@test "exec -it: the detach keys leave the command running and restore the terminal" {
    term_open
    term_type 'stty -a >"$TMPDIR/before"; coracle exec -it box sh; stty -a >"$TMPDIR/after"; echo ba""ck'
    term_expect '/tmp #'
    term_type 'sleep 4242; exit 112' # a code that no other test of this file has
    wait_for runs_in box 'sleep 4242'
    term_keys C-p C-q
    term_expect back
    wait_for [ -s "$TMPDIR/after" ]
    cmp "$TMPDIR/before" "$TMPDIR/after"
    runs_in box 'sleep 4242'
    coracle exec box sh -c 'kill $(ps | grep "[s]leep 4242" | awk "{ print \$1 }")'
    told() { coracle events --since 1h --until 0s -f container=box -f event=exec_die --format '{{.Actor.Attributes.exitCode}}' | grep -qx "$1"; }
    wait_for told 112 || fail "its end was not told"
}

@test "exec -it: a command whose user's terminal is gone is hung up, and that is told" {
    term_open
    term_type 'coracle exec -it box sh -c "trap \"exit 121\" HUP; echo hear-\$((1 + 1)); sleep 4243 & wait"'
    term_expect hear-2
    term_close
    told() { coracle events --since 1h --until 0s -f container=box -f event=exec_die --format '{{.Actor.Attributes.exitCode}}' | grep -qx "$1"; }
    wait_for told 121 || fail "its end was not told"
}

@test "exec of 60 arguments of 2 KB, and an argument with every byte" {
    args=()
    for i in $(seq 60); do args+=("$(printf '%02000d' "$i")"); done
    run -0 coracle exec box sh -c 'echo $# ${60}' sh "${args[@]}"
    assert_output_has "60 0"
    text=$(printf '\001\002\033\177\t"\\\n\xc3\xa9 $`end')
    [ "$(coracle exec box printf '%s' "$text")" = "$text" ] || fail "the argument changed"
}
