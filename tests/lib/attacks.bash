# attacks: hostile code in containers (tests/lib/attack.c, linked statically and bind-mounted) and what a test asks of it afterwards.
# `load ../lib/attacks` after common; attacks_setup in file_setup. A test that does not end is ended by the file $CTR_HOME/attack/stop;
# $CTR_HOME/attack/met is there when it has met what it guards against.

attacks_setup() {
    mkdir "$CTR_HOME/attack" "$CTR_HOME/escape"
    gcc -O1 -static -o "$CTR_HOME/attack/attack" "$TESTS_DIR/lib/attack.c" 2>/dev/null || rm -f "$CTR_HOME/attack/attack"
}

attacks() { [ -x "$CTR_HOME/attack/attack" ] || skip "gcc and a static C library are needed"; }

# A container that carries out an attack in the background, which has begun when this is back: attacker OPTIONS… -- attack arguments…
attacker() {
    local options=()
    attacks
    rm -f "$CTR_HOME"/attack/{stop,begun,met}
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    coracle run -d --name "attacker$BATS_TEST_NUMBER" -v "$CTR_HOME/attack:/attack" "${options[@]}" busybox /attack/attack "$@" >/dev/null
    wait_for test -e "$CTR_HOME/attack/begun" || fail "the attack does not begin"
}
# slowly COMMAND…: with each step to a container held for 20 ms, under the eyes of an attack. strace takes newuidmap its privilege, so the
# user namespace has to be there already.
slowly() {
    local calls=setns,unshare,setsid,setgroups,setresgid,setresuid,prctl,write,pwrite64,pivot_root,execve
    strace -f -qq -o /dev/null -e "trace=$calls" -e "inject=$calls:delay_exit=20000" "$@"
}
# Ends it; fails if it got through, or if it had nothing to try.
attack_failed() {
    local log
    touch "$CTR_HOME/attack/stop"
    coracle wait "attacker$BATS_TEST_NUMBER" >/dev/null
    log=$(coracle logs "attacker$BATS_TEST_NUMBER" 2>&1)
    coracle rm -f "attacker$BATS_TEST_NUMBER" >/dev/null
    rm -f "$CTR_HOME/attack/stop"
    case $log in *BREACH*) fail "$(head -5 <<<"$log")" ;; esac
    [[ $log =~ tried\ [0-9]+,\ guarded\ ([0-9]+) ]] || fail "the attack says nothing: $log"
    [ "${1:-}" = quiet ] || [ "${BASH_REMATCH[1]}" -gt 0 ] || fail "the attack saw nothing to try: $log"
}

nothing_escaped() { [ -z "$(ls -A "$CTR_HOME/escape")" ] || fail "something was made on the host: $(ls -laR "$CTR_HOME/escape")"; }
