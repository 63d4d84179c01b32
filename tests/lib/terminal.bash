# terminal.bash: a real terminal for tests, by tmux on a socket of its own. `load ../lib/terminal` after common.
#
#   term_open [COLS ROWS]      a terminal with a plain shell in it whose prompt is "host:" (one at a time; TERM_ID=N picks another)
#   term_type TEXT             types TEXT and Enter            term_keys KEY…       tmux's key names: C-c, C-p, Enter
#   term_expect TEXT           waits until the screen has TEXT   term_screen          what it shows, with its history
#   term_prompt TEXT           waits until TEXT is all that its last line has: a shell reads it
#   term_resize COLS ROWS      resizes it                      term_close           takes the terminal away (SIGHUP)
#
# What is typed is seen too: `echo do''ne` types what `done` waits for. And it is seen before anybody has read it: whoever takes the
# terminal away, or presses a key that means something else to the terminal itself, waits for what comes of it first.

term() { tmux -L "t$TERM_ID" -f /dev/null "$@"; }

term_open() {
    [ -z "${CORACLE_VM_HOST:-}" ] || command -v tmux >/dev/null || skip "no tmux in the virtual machine"
    export TERM_ID=${TERM_ID:-$BATS_TEST_NUMBER} TMUX_TMPDIR=$CTR_HOME/tmp
    term new-session -d -x "${1:-80}" -y "${2:-24}" "exec env -u TMUX PS1='host: ' PATH='$PATH' bash --norc --noprofile" 3>&- </dev/null
    term set-option -g history-limit 5000 >/dev/null
    term set-option -g status off >/dev/null
    term_resize "${1:-80}" "${2:-24}"
    term_expect 'host:'
}

term_type() { term send-keys -l "$1" && term send-keys Enter; }
term_keys() { term send-keys "$@"; }
term_screen() { term capture-pane -p -S -500 2>/dev/null; }
term_has() { term_screen | grep -qF -- "$1"; }
term_expect() { wait_for term_has "$1" || fail "the terminal never showed: $1" "$(term_screen)"; }
term_refuse() { ! term_has "$1" || fail "the terminal shows: $1" "$(term_screen)"; }
term_clear() { term send-keys -R && term clear-history && term_keys Enter; }
term_prompt() { wait_for term_ends_with "$1" || fail "the terminal's last line is not: $1" "$(term_screen)"; }
term_ends_with() { [ "$(term_screen | sed 's/ *$//' | grep -v '^$' | tail -1)" = "$1" ]; }
# tmux tells the terminal of a new size when it has time
term_resize() {
    local tty
    tty=$(term display-message -p '#{pane_tty}')
    term resize-window -x "$1" -y "$2"
    wait_for term_is_sized "$tty" "$2 $1" || fail "the terminal's size is $(stty -F "$tty" size)"
}
term_is_sized() { [ "$(stty -F "$1" size)" = "$2" ]; }
# until its server has gone: who opens another would be a client of it
term_close() {
    local pid
    pid=$(term display-message -p '#{pid}' 2>/dev/null) || return 0
    term kill-server 2>/dev/null || true
    wait_for [ ! -e "/proc/$pid/fd/0" ]
}
