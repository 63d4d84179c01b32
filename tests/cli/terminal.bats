#!/usr/bin/env bats
# terminal: run, start and attach in a real terminal (tmux).
load ../lib/common
load ../lib/terminal

file_setup() { image busybox; }
teardown() {
    term_close
    coracle ps -aq | xargs -r coracle rm -f >/dev/null
}

state() { coracle inspect -f '{{.State.Status}}' "$1" 2>/dev/null; }
is_running() { [ "$(state "$1")" = running ]; }
is_exited() { [ "$(state "$1")" = exited ]; }
# in_foreground CONTAINER PROGRAM: whether the program's process group is the one that the terminal sends signals to
in_foreground() { coracle exec "$1" sh -c 'set -- $(cat "/proc/$(pidof "$1")/stat"); [ "$5" = "$8" ]' - "$2"; }
# same_terminal COMMAND: types it between two looks at the terminal's settings, which must be equal when it has ended
between() { term_type "stty -g >\$TMPDIR/before; $1; echo code=\$?; stty -g >\$TMPDIR/after; echo ba''ck"; }
assert_restored() {
    term_expect back
    wait_for [ -s "$TMPDIR/after" ]
    cmp "$TMPDIR/before" "$TMPDIR/after" || fail "the terminal was not restored" "$(cat "$TMPDIR/before" "$TMPDIR/after")"
}

@test "run -it: a prompt, the pane's size at the first command, a new size after a resize, the exit code" {
    term_open 97 31
    between 'coracle run --rm -it busybox sh -c "stty size; exec sh"'
    term_expect '31 97'
    term_expect '/ #'
    term_resize 71 19
    # the shell asks again until it has been told: a resize is an event of its own
    term_type 'until [ "$(stty size)" = "19 71" ]; do usleep 20000; done; echo resi""zed'
    term_expect resized
    term_type 'tty; test -t 0 && test -t 1 && test -t 2 && echo all""three'
    term_expect '/dev/pts/0'
    term_expect allthree
    term_type 'exit 17'
    term_expect code=17
    assert_restored
}

@test "SIGWINCH reaches a program in the container" {
    term_open 80 24
    term_type 'coracle run --rm -it busybox sh -c "trap \"stty size\" WINCH; echo g\"\"o; while :; do usleep 20000; done"'
    term_expect go
    term_resize 66 22
    term_expect '22 66'
}

@test "TERM is xterm, or what -e says; colours arrive as they are" {
    term_open
    term_type 'coracle run --rm -it busybox sh -c "echo T=\$TERM; printf \"\\033[31mred\\033[0m\\n\""'
    term_expect T=xterm
    term_expect red
    wait_for eval 'term capture-pane -p -e | grep -q "$(printf "\033\\[31mred")"'
    term_type 'coracle run --rm -it -e TERM=vt220 busybox sh -c "echo T=\$TERM"'
    term_expect T=vt220
    run -0 coracle run --rm busybox sh -c 'echo "T=$TERM"'
    assert_eq "$output" "T="
}

@test "Ctrl-C interrupts the foreground job, not the shell and not the container" {
    term_open
    term_type 'coracle run -it --name cc busybox sh'
    term_expect '/ #'
    term_type 'sleep 5555'
    wait_for eval 'coracle exec cc ps | grep -q "[s]leep 5555"'
    term_keys C-c
    wait_for eval '! coracle exec cc ps | grep -q "[s]leep 5555"'
    term_type 'echo al""ive'
    term_expect alive
    is_running cc
    term_prompt '/ #'
    term_keys C-d
    wait_for is_exited cc
}

@test "job control: Ctrl-Z stops a job, bg, jobs, fg and Ctrl-C go on with it" {
    term_open
    term_type 'coracle run -it --name jobs busybox sh'
    term_expect '/ #'
    term_type 'sleep 6666'
    wait_for eval 'coracle exec jobs ps | grep -q "[s]leep 6666"'
    term_keys C-z
    term_expect Stopped
    term_prompt '/ #'
    term_type 'bg; jobs'
    term_expect 'Running'
    term_prompt '/ #'
    term_type 'fg'
    wait_for in_foreground jobs sleep
    term_keys C-c
    wait_for eval '! coracle exec jobs ps | grep -q "[s]leep 6666"'
    term_type 'sleep 1000 & echo p""id=$!'
    term_expect 'pid='
    term_refuse "can't access tty"
}

@test "detach with ctrl-p ctrl-q: the container goes on, the terminal is as before, attach finds the same shell" {
    term_open
    between 'coracle run -it --name det busybox sh'
    term_expect '/ #'
    term_type 'X=remembered'
    term_keys C-p C-q
    assert_restored
    is_running det
    rm -f "$TMPDIR/before" "$TMPDIR/after"
    term_clear
    between 'coracle attach det'
    wait_for eval '[ -s "$TMPDIR/before" ]'
    term_keys Enter
    term_expect '/ #'
    term_type 'echo $X'
    term_expect remembered
    term_type 'exit 23'
    term_expect code=23
    assert_restored
}

@test "a ctrl-p alone still reaches the program" {
    term_open
    term_type 'coracle run --rm -it busybox sh -c "stty raw -echo; dd bs=1 count=2 2>/dev/null | hexdump -C; stty sane"'
    wait_for eval '[ -n "$(coracle ps -q)" ]'
    wait_for eval 'coracle exec "$(coracle ps -q)" pidof dd >/dev/null'
    term_keys C-p x
    term_expect '10 78'
}

@test "--detach-keys: other keys, of one and of three parts; the default ones then mean nothing" {
    term_open
    term_type 'coracle run -it --name keys --detach-keys ctrl-x busybox sh; echo det""ached-1'
    term_expect '/ #'
    term_keys C-p C-q
    term_type 'echo st""ill'
    term_expect still
    term_keys C-x
    term_expect detached-1
    is_running keys
    term_type 'coracle attach --detach-keys a,b,ctrl-c keys; echo det""ached-2'
    term_expect 'attach --detach-keys'
    term_keys Enter
    term_prompt '/ #' # else Ctrl-C is a signal to the client that is still on its way
    term_keys a b C-c
    term_expect detached-2
    is_running keys
    term_type 'coracle attach --detach-keys ctrl-nope keys; echo code=$?'
    term_expect 'ctrl-nope'
    term_expect 'code=1'
}

@test "two terminals at one container see the same, and both may type" {
    TERM_ID=a term_open
    TERM_ID=a term_type 'coracle run -it --name both busybox sh'
    TERM_ID=a term_expect '/ #'
    TERM_ID=b term_open
    TERM_ID=b term_type 'coracle attach both'
    TERM_ID=b term_keys Enter
    TERM_ID=b term_expect '/ #'
    TERM_ID=a term_type 'echo from-""a'
    TERM_ID=a term_expect from-a
    TERM_ID=b term_expect from-a
    TERM_ID=b term_type 'echo from-""b'
    TERM_ID=a term_expect from-b
    TERM_ID=b term_expect from-b
    TERM_ID=b term_close
    TERM_ID=a term_type 'echo after-""b'
    TERM_ID=a term_expect after-b
    is_running both
    TERM_ID=a term_close
}

@test "start -ai of a -it container; the size is that of the terminal it is started from" {
    coracle create -it --name st busybox sh >/dev/null
    term_open 83 29
    term_type 'coracle start -ai st'
    term_expect '/ #'
    term_type 'stty size'
    term_expect '29 83'
}

@test "the client killed with -9: the container goes on, and can be attached to again" {
    term_open
    term_type 'sh -c '"'"'echo $$ >$TMPDIR/cli; exec coracle run -it --name k9 busybox sh'"'"'; stty sane'
    term_expect '/ #'
    term_type 'Y=kept; echo se""t'
    term_expect set
    kill -9 "$(cat "$TMPDIR/cli")"
    term_expect Killed
    is_running k9
    term_keys Enter
    term_type 'coracle attach k9'
    term_keys Enter
    term_expect '/ #'
    term_type 'echo is-$Y'
    term_expect is-kept
}

@test "the window is closed: the container goes on without it" {
    term_open
    term_type 'coracle run -it --name win busybox sh'
    term_expect '/ #'
    term_type 'trap "" HUP; Z=here; echo se""t'
    term_expect set
    term_close
    is_running win
    term_open
    term_type 'coracle attach win'
    term_keys Enter
    term_type 'echo still-$Z'
    term_expect still-here
}

@test "SIGTERM to the client of a terminal goes to the container; the terminal is restored" {
    term_open
    between 'sh -c '"'"'echo $$ >$TMPDIR/cli; exec coracle run -it --name sg busybox sh -c "trap \"echo caught; exit 44\" TERM; echo ready; while :; do usleep 20000; done"'"'"
    wait_for eval 'coracle logs sg 2>/dev/null | grep -q ready && term_screen | tail -n +2 | grep -qx ready'
    kill -TERM "$(cat "$TMPDIR/cli")"
    term_expect code=44
    term_expect caught
    assert_restored
}

@test "a container stopped from elsewhere ends the client, with its code, and restores the terminal" {
    term_open
    between 'coracle run -it --name elsewhere busybox sh'
    term_expect '/ #'
    coracle stop -t 1 elsewhere >/dev/null
    term_expect code=137
    assert_restored
}

@test "a failing start in a terminal restores it and says why" {
    term_open
    between 'coracle run --rm -it busybox no-such-program'
    term_expect 'executable file not found'
    term_expect code=127
    assert_restored
}

@test "a full-screen program: vi draws, takes keys and leaves" {
    term_open 80 24
    between 'coracle run --rm -it busybox vi /root/file'
    term_expect '- /root/file'
    term_keys i
    term_expect 'I /root/file'
    term_keys -l 'typed text'
    term_expect 'typed text'
    term_keys Escape
    term_expect '- /root/file'
    term_keys -l ':q!'
    term_keys Enter
    term_expect code=0
    assert_restored
}

@test "100,000 lines through a terminal: the last is there" {
    term_open
    term_type 'coracle run --rm -it busybox sh -c "seq 100000; echo e""nd"; echo do""ne'
    TEST_PATIENCE=$(patience 4) term_expect done # each line is drawn
    term_expect 99999
    term_expect end
}

@test "pasting 3,000 characters loses none" {
    term_open
    term_type 'coracle run --rm -it busybox sh -c "stty -icanon -echo; dd bs=1 count=3000 2>/dev/null | md5sum"'
    wait_for eval '[ -n "$(coracle ps -q)" ]'
    wait_for eval 'coracle exec "$(coracle ps -q)" pidof dd >/dev/null'
    text=$(seq 700 | tr -d '\n')
    term_keys -l "${text:0:1500}"
    term_keys -l "${text:0:1500}"
    term_expect "$(printf '%s' "${text:0:1500}${text:0:1500}" | md5sum | cut -d' ' -f1)"
}
