#!/usr/bin/env bats
# Resource limits: every flag in every cgroup set-up is enforced, emulated and said, or refused; and what is enforced holds.
load ../lib/common
load ../lib/cgroups
file_setup() { image busybox; }

block_device() { find /dev -maxdepth 1 -type b | head -1; }

# What the container's cgroups say, all files of all of them: read from outside, by the path that its first process is in.
cgroup_values() {
    local pid=$1 line path d
    while IFS= read -r line; do
        path=${line##*:}
        case $path in */coracle-*) ;; *) continue ;; esac
        for d in /sys/fs/cgroup "/sys/fs/cgroup/$(cut -d: -f2 <<<"$line")" /sys/fs/cgroup/unified; do
            [ -d "$d$path" ] && grep -rs '' --include="$2" "$d$path"
        done
    done <"/proc/$pid/cgroup"
}

# outcome SETUP FILE-PATTERN VALUE FLAG…: runs a container with the flag; fails when it was dropped in silence
outcome() {
    local setup=$1 file=$2 value=$3 c pid
    shift 3
    c=$(unique)
    run in_setup "$setup" coracle run -d --name "$c" "$@" busybox sleep 1000
    if [ "$status" != 0 ]; then
        case $output in *"cannot be enforced"*hint:* | *"may make no cgroup"*) echo refused && return ;; esac
        fail "refused without the way out: $setup $*"
    fi
    case $output in *WARNING:*) coracle rm -f "$c" >/dev/null && echo warned && return ;; esac
    pid=$(coracle inspect -f '{{.State.Pid}}' "$c")
    grep -qE "$value" <<<"$(cgroup_values "$pid" "$file")" || fail "dropped in silence: $setup $* ($(cgroup_values "$pid" "$file"))"
    coracle rm -f "$c" >/dev/null
    echo enforced
}

@test "no limit is dropped in silence: 18 flags in every cgroup set-up" {
    local setup dev num all=""
    dev=$(block_device)
    num=$(stat -c '%Hr:%Lr' "$dev" 2>/dev/null || printf '%d:%d' "0x$(stat -c %t "$dev")" "0x$(stat -c %T "$dev")")
    for setup in $(setups); do
        all+="$(outcome "$setup" 'memory.*' ':67108864' -m 64m) "
        all+="$(outcome "$setup" 'memory.*' ':(33554432|100663296)' -m 64m --memory-swap 96m) "
        all+="$(outcome "$setup" 'memory.*' ':33554432' --memory-reservation 32m) "
        all+="$(outcome "$setup" memory.swappiness ':7' --memory-swappiness 7) "
        all+="$(outcome "$setup" memory.oom_control 'oom_kill_disable 1' --oom-kill-disable -m 64m) "
        all+="$(outcome "$setup" 'cpu.*' ':50000( 100000)?$' --cpus 0.5) "
        all+="$(outcome "$setup" 'cpu.*' ':30000( 100000)?$' --cpu-quota 30000) "
        all+="$(outcome "$setup" 'cpu.*' ':(max )?50000$' --cpu-period 50000) "
        all+="$(outcome "$setup" 'cpu.*' ':(512|20)$' --cpu-shares 512) "
        all+="$(outcome "$setup" cpuset.cpus ':0$' --cpuset-cpus 0) "
        all+="$(outcome "$setup" cpuset.mems ':0$' --cpuset-mems 0) "
        all+="$(outcome "$setup" pids.max ':37$' --pids-limit 37) "
        all+="$(outcome "$setup" '*weight*' '(:|default )(300|2930)$' --blkio-weight 300) "
        [ -n "$dev" ] || continue
        all+="$(outcome "$setup" '*weight*' "$num 200" --blkio-weight-device "$dev:200") "
        all+="$(outcome "$setup" '*[ok].*' "$num .*1048576" --device-read-bps "$dev:1mb") "
        all+="$(outcome "$setup" '*[ok].*' "$num .*1048576" --device-write-bps "$dev:1mb") "
        all+="$(outcome "$setup" '*[ok].*' "$num .*77" --device-read-iops "$dev:77") "
        all+="$(outcome "$setup" '*[ok].*' "$num .*77" --device-write-iops "$dev:77") "
    done
    echo "$all"
    [ "$(wc -w <<<"$all")" -ge 13 ]
}

# told TEXT FLAG…: a container with the flags is refused or warned of with that text
told() {
    local text=$1
    shift
    run coracle run --rm --network none "$@" busybox true
    case $output in *"$text"*) ;; *) fail "not said: $* ($text)" ;; esac
}
# inside WANT COMMAND FLAG…: a container with the flags has no warning, and the command prints that in it
inside() {
    local want=$1 command=$2
    shift 2
    run --separate-stderr coracle run --rm --network none "$@" busybox sh -c "$command"
    assert_eq "$output$stderr" "$want"
}

@test "limits that need no cgroup: enforced, said or refused" {
    local now hard
    now=$(cat /proc/self/oom_score_adj)
    hard=$(ulimit -Hn)
    inside 777 'cat /proc/1/oom_score_adj' --oom-score-adj 777
    inside 778 'cat /proc/self/oom_score_adj' --oom-score-adj 778 --pid host
    inside "$now" 'cat /proc/1/oom_score_adj' # a monitor that makes a container anew has its own score
    [ "$(id -u)" = 0 ] || told "--oom-score-adj -900 has no effect: without root it cannot go below that of this session, $now" --oom-score-adj -900
    inside "100 200" 'echo $(ulimit -Sn) $(ulimit -Hn)' --ulimit nofile=100:200
    told "this user's hard limit is $hard" --ulimit nofile=$((hard + 1)):$((hard + 1))
    inside 0 'ulimit -c' --ulimit core=0
    inside 8192 'df -k /dev/shm | awk "NR == 2 { print \$2 }"' --shm-size 8m
    told "--shm-size has no effect" --shm-size 8m --ipc host
    told "--shm-size has no effect" --shm-size 8m --ipc none
    told "--storage-opt is not supported" --storage-opt size=1g
    told "--kernel-memory" --kernel-memory 64m
    told "--device-cgroup-rule" --device-cgroup-rule 'c 1:3 rwm'
    told "--cpu-rt-period" --cpu-rt-period 1000
    told "--cpu-rt-runtime" --cpu-rt-runtime 1000
    # without a cgroup, which processes are the container's is told by the pid namespace, which is not its own here
    [[ $(outcome none 'memory.*' ':67108864' -m 64m --pid host) =~ ^(refused|enforced)$ ]] || fail "watched in vain"
}

# Whether its limits are held by its monitor, for want of a cgroup.
watched() { ! grep -q /coracle- "/proc/$(coracle inspect -f '{{.State.Pid}}' "$1")/cgroup"; }

# Fills a buffer of so many megabytes and keeps it, for nobody reads what comes after it.
fill() { echo "dd if=/dev/zero bs=${1}M count=1 2>/dev/null | sleep 1000"; }

@test "a container that uses more memory than it may is killed, and inspect says why" {
    local setup c
    for setup in $(setups); do
        [ $setup != v2 ] || v2_has memory || continue
        c=$(unique)
        in_setup "$setup" coracle run -d --name "$c" -m 100m --memory-swap 100m busybox dd if=/dev/zero of=/dev/null bs=900M count=1000000
        assert_eq "$(timeout "$(patience 50)" coracle wait "$c")" 137
        assert_eq "$(coracle inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}' "$c")" "true 137 104857600 104857600"
        coracle rm "$c"
    done
}

@test "memory of many processes counts together, and theirs that exec started" {
    local c
    c=$(unique)
    # with room for what a shell uses while it fills
    coracle run -d --name "$c" -m 100m busybox sh -c "$(fill 20)" 2>/dev/null
    run timeout -k 1 "$(patience 50)" coracle exec "$c" sh -c "$(fill 15)& $(fill 15)& sleep 1; echo within; dd if=/dev/zero of=/dev/null bs=60M count=1000000"
    assert_status 137
    assert_output_has within
    watched "$c" || coracle kill "$c" # the kernel ends one process, and so it does for docker
    assert_eq "$(timeout "$(patience 50)" coracle wait "$c")" 137
    assert_eq "$(coracle inspect -f '{{.State.OOMKilled}}' "$c")" true
    coracle rm "$c"
}

@test "a fork bomb meets --pids-limit" {
    local setup
    for setup in $(setups); do
        case $setup in none) continue ;; v2) v2_has pids || continue ;; esac
        run in_setup "$setup" timeout -k 1 "$(patience 50)" coracle run --rm --pids-limit 30 busybox sh -c 'bomb() { bomb | bomb & }; sleep 100 & bomb 2>&1 | head -3; ls -d /proc/[0-9]* | wc -l'
        assert_output_has "can't fork"
    done
}

@test "--cpus bounds the processor time" {
    local setup c pid before after from till
    for setup in $(setups); do
        case $setup in none) continue ;; v2) v2_has cpu || continue ;; esac
        c=$(unique)
        in_setup "$setup" coracle run -d --name "$c" --cpus 0.2 busybox sh -c 'while :; do :; done'
        pid=$(coracle inspect -f '{{.State.Pid}}' "$c")
        from=$(date +%s%3N)
        before=$(awk '{ print $14 + $15 }' "/proc/$pid/stat")
        sleep 2
        after=$(awk '{ print $14 + $15 }' "/proc/$pid/stat")
        till=$(date +%s%3N)
        coracle rm -f "$c"
        # a quarter of the time that has passed, in ticks of a hundredth of a second
        [ $((after - before)) -le $(((till - from) / 40)) ] || fail "$setup: $((after - before)) ticks in $((till - from)) ms with a fifth of a processor"
    done
}

@test "--cpuset-cpus without cgroups binds every process, also those of exec, and update moves them" {
    local c other
    other=$(($(nproc --all) - 1))
    [ $other -gt 0 ] || skip "one processor"
    c=$(unique)
    coracle run -d --name "$c" --cpuset-cpus 0 busybox sleep 1000 2>/dev/null
    assert_eq "$(coracle exec "$c" grep -h Cpus_allowed_list /proc/1/status /proc/self/status | cut -f2 | uniq)" 0
    coracle update --cpuset-cpus $other "$c" 2>/dev/null
    assert_eq "$(coracle exec "$c" grep -h Cpus_allowed_list /proc/1/status /proc/self/status | cut -f2 | uniq)" $other
    coracle rm -f "$c"
}

@test "update changes what is in force, and what the next start has" {
    local setup c file
    for setup in $(setups); do
        case $setup in none) continue ;; v2) v2_has memory || continue ;; esac
        c=$(unique)
        in_setup "$setup" coracle run -d --name "$c" -m 64m --pids-limit 50 busybox sleep 1000
        run coracle update -m 96m --memory-swap 200m --pids-limit -1 --cpus 0.5 "$c"
        assert_status 0
        assert_eq "$output" "$c"
        for file in 'memory.*:100663296' 'cpu.*:50000' 'pids.max:max'; do
            grep -q ":${file##*:}" <<<"$(cgroup_values "$(coracle inspect -f '{{.State.Pid}}' "$c")" "${file%%:*}")" || fail "$setup: not in force: $file"
        done
        assert_eq "$(coracle inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}' "$c")" "100663296 209715200 500000000"
        in_setup "$setup" coracle restart -t 0 "$c"
        grep -q ':100663296' <<<"$(cgroup_values "$(coracle inspect -f '{{.State.Pid}}' "$c")" 'memory.*')" || fail "$setup: not after a restart"
        coracle rm -f "$c"
    done
}

@test "update of a memory limit that is watched" {
    local c
    c=$(unique)
    coracle run -d --name "$c" -m 400m busybox sh -c "$(fill 60)" 2>/dev/null
    full() { coracle exec "$c" sh -c 'grep -h RssAnon /proc/[2-9]/status' | grep -qE '[56][0-9]{4} kB'; }
    wait_for full || fail "not filled: $(coracle exec "$c" sh -c 'grep -h RssAnon /proc/[2-9]/status')"
    assert_eq "$(coracle inspect -f '{{.State.Status}}' "$c")" running
    watched "$c" || { coracle rm -f "$c" && skip "it has a cgroup, whose limit is the kernel's affair"; }
    coracle update -m 20m --memory-swap -1 "$c" 2>/dev/null
    assert_eq "$(timeout "$(patience 50)" coracle wait "$c")" 137
    assert_eq "$(coracle inspect -f '{{.State.OOMKilled}} {{.HostConfig.MemorySwap}}' "$c")" "true -1"
    coracle rm "$c"
}

@test "update that is refused changes nothing" {
    local c
    c=$(unique)
    coracle create --name "$c" -m 64m busybox true 2>/dev/null
    run coracle update "$c"
    assert_status 1
    assert_output_has "you must provide one or more flags when using this command"
    run coracle update -m 1m "$c"
    assert_status 1
    assert_output_has "Minimum memory limit allowed is 6MB"
    run coracle update -m 512m "$c"
    assert_output_has "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
    run coracle update --cpus 1 --cpu-quota 5000 "$c"
    assert_output_has "Conflicting options: Nano CPUs and CPU Quota cannot both be set."
    assert_eq "$(coracle inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}' "$c")" "67108864 134217728 0"
    run coracle update -m 32m nobody-"$c"
    assert_status 1
    assert_output_has "No such container: nobody-$c"
    coracle rm "$c"
}

@test "inspect has what was asked for, under docker's names" {
    local c
    c=$(unique)
    coracle create --name "$c" -m 64m --memory-reservation 32m --cpu-shares 100 --blkio-weight 20 --cpuset-cpus 0 --pids-limit -1 busybox true 2>/dev/null
    assert_eq "$(coracle inspect -f '{{with .HostConfig}}{{.Memory}} {{.MemoryReservation}} {{.MemorySwap}} {{.CpuShares}} {{.BlkioWeight}} {{.CpusetCpus}} {{.PidsLimit}}{{end}}' "$c")" "67108864 33554432 134217728 100 20 0 0"
    coracle rm "$c"
}

@test "docker's errors of resource flags" {
    local line flags want
    while IFS='|' read -r flags want; do
        # shellcheck disable=SC2086 # flags are words
        run coracle create $flags busybox true
        [ "$status" != 0 ] || fail "accepted: $flags"
        assert_output_has "$want"
    done <<'E2'
-m x|invalid argument "x" for "-m, --memory" flag: invalid size: 'x'
--memory-swap -2|invalid argument "-2" for "--memory-swap" flag: invalid size: '-2'
--cpus abc|invalid argument "abc" for "--cpus" flag: failed to parse abc as a rational number
--cpus 1.2345678912|invalid argument "1.2345678912" for "--cpus" flag: value is too precise
--blkio-weight x|invalid argument "x" for "--blkio-weight" flag: strconv.ParseUint: parsing "x": invalid syntax
--blkio-weight 70000|strconv.ParseUint: parsing "70000": value out of range
--blkio-weight 5|Range of blkio weight is from 10 to 1000
--blkio-weight-device x|invalid argument "x" for "--blkio-weight-device" flag: bad format: x
--blkio-weight-device /dev/sda:5|invalid weight for device: /dev/sda:5
--blkio-weight-device sda:50|bad format for device path: sda:50
--device-read-bps /dev/sda:x|invalid rate for device: /dev/sda:x. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb
--device-read-iops /dev/sda:1k|invalid rate for device: /dev/sda:1k. The correct format is <device-path>:<number>. Number must be a positive integer
--device-read-iops /dev/null:10|/dev/null is not a block device
--memory-swappiness 101|invalid value: 101. Valid memory swappiness range is 0-100
-m 1m|Minimum memory limit allowed is 6MB
-m 64m --memory-swap 32m|Minimum memoryswap limit should be larger than memory limit, see usage
--memory-swap 32m|You should always set the Memory limit when using Memoryswap limit, see usage
-m 64m --memory-reservation 65m|Minimum memory limit can not be less than memory reservation limit, see usage
--memory-reservation 1m|Minimum memory reservation allowed is 6MB
--cpus 4000|range of CPUs is from 0.01 to
--cpus 1 --cpu-period 100000|Conflicting options: Nano CPUs and CPU Period cannot both be set.
--cpus 1 --cpu-quota 100000|Conflicting options: Nano CPUs and CPU Quota cannot both be set.
--cpu-period 10|CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)
--cpu-quota 10|CPU cfs quota can not be less than 1ms (i.e. 1000)
--cpuset-cpus x|Invalid value x for cpuset cpus
--cpuset-cpus 4000|Requested CPUs are not available - requested 4000, available: 0
--cpuset-mems 4000|Requested memory nodes are not available - requested 4000, available: 0
--storage-opt size=1g|--storage-opt is not supported
E2
}

@test "--cgroup-parent: below what the user was given, or refused" {
    local c id
    run coracle create --cgroup-parent /nothing-of-ours busybox true
    assert_status 1
    assert_output_has "--cgroup-parent /nothing-of-ours: this user may make no cgroup there"
    need_setup v1
    c=$(unique)
    id=$(coracle run -d --name "$c" --cgroup-parent /coracle-test/below busybox sleep 1000)
    grep -q "/coracle-test/below/coracle-${id:0:12}" "/proc/$(coracle inspect -f '{{.State.Pid}}' "$c")/cgroup" || fail "not there"
    assert_eq "$(coracle inspect -f '{{.HostConfig.CgroupParent}}' "$c")" /coracle-test/below
    coracle rm -f "$c"
}

# Where a login session has no cgroup to make others in, and the user's own manager runs, and has been given what limits memory and
# processes: an ssh session.
in_bare_session() {
    grep -qs 'memory.*pids' "/sys/fs/cgroup/user.slice/user-$(id -u).slice/user@$(id -u).service/cgroup.controllers" || return
    [ -S "/run/user/$(id -u)/bus" ] && systemctl --user show >/dev/null 2>&1 && [ ! -w "/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/.." ]
}

@test "a session without a cgroup of its own gets one of the user's systemd for limits, and gives it back" {
    in_bare_session || skip "no session outside of the tree of a running user manager"
    c=$(unique)
    coracle run -d --name "$c" -m 64m --pids-limit 40 busybox sleep 1000
    pid=$(coracle inspect -f '{{.State.Pid}}' "$c")
    group=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
    assert_eq "$(cat "$group/memory.max" "$group/pids.max")" $'67108864\n40'
    inside=$(coracle exec "$c" cat /proc/self/cgroup)
    assert_eq "$inside" "0::/"
    coracle pause "$c"
    assert_eq "$(cat "$group/cgroup.freeze")" 1
    coracle unpause "$c"
    coracle update -m 96m --memory-swap 96m "$c"
    assert_eq "$(cat "$group/memory.max")" 100663296
    coracle rm -f "$c"
    gone() { ! systemctl --user list-units --type scope --no-legend | grep -q coracle-; }
    wait_for gone
}
