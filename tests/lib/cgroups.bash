# cgroups.bash: commands in the cgroup set-ups that users have. tests/lib/as-user has made the directories.
#
#   in_setup none CMD…    no cgroup that the user may write
#   in_setup v1 CMD…      own directories in the hierarchies of version 1
#   in_setup v2 CMD…      a delegated subtree of version 2, with the controllers that this machine gives to it: made by as-user, or a
#                         scope of the user's own systemd
#   in_setup hybrid CMD…  both at once
#   setups                those of none, v1 and v2 that this machine has
#   need_setup S          skips the test where the machine does not have it
#   v2_has CONTROLLER     whether the delegated subtree has it

v1_dirs() { find /sys/fs/cgroup/*/coracle-test -maxdepth 0 -user "$(id -u)" 2>/dev/null | grep -v unified; }
v2_dir() {
    local d
    for d in /sys/fs/cgroup/coracle-test/v2 /sys/fs/cgroup/unified/coracle-test/v2; do
        if [ -w "$d/cgroup.procs" ]; then echo "$d" && return; fi
    done
    d=/sys/fs/cgroup/user.slice/user-$(id -u).slice/user@$(id -u).service
    systemctl --user show >/dev/null 2>&1 && [ -w "$d/cgroup.procs" ] && echo "$d"
}
v2_has() { grep -qw "$1" "$(v2_dir)/cgroup.controllers"; }

setups() {
    echo none
    [ -z "$(v1_dirs)" ] || echo v1
    ! v2_dir >/dev/null || echo v2
}

need_setup() {
    case $1 in
    v1) [ "$(v1_dirs)" ] || skip "no hierarchy of cgroup version 1 that the user may write" ;;
    v2) v2_dir >/dev/null || skip "no delegated subtree of cgroup version 2" ;;
    esac
}

in_setup() {
    local setup=$1 d
    shift
    (
        case $setup in
        v1 | hybrid) for d in $(v1_dirs); do echo "$BASHPID" >"$d/cgroup.procs"; done ;;
        esac
        case $setup in
        v2 | hybrid)
            d=$(v2_dir)
            case $d in
            *coracle-test*) echo "$BASHPID" >"$d/in/cgroup.procs" ;;
            *) exec systemd-run --user --scope --quiet -- "$@" ;;
            esac
            ;;
        esac
        exec "$@"
    )
}
