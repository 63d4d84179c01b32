#!/usr/bin/env bats
# run: the main job, as a user types it.
load ../lib/common

file_setup() { image busybox; }

@test "run prints the command's output and gives its exit code" {
    run --separate-stderr -0 coracle run --rm busybox echo hello world
    assert_eq "$output" "hello world"
    run coracle run --rm busybox sh -c 'exit 7'
    assert_status 7
}

@test "stdout and stderr stay apart" {
    run --separate-stderr -0 coracle run --rm --network none busybox sh -c 'echo out; echo err >&2'
    assert_eq "$output" out
    assert_eq "$stderr" err
}

@test "a command that is not there is 127, one that cannot be executed 126, a bad flag 125" {
    run coracle run --rm busybox no-such-program
    assert_status 127
    assert_output_has 'executable file not found in $PATH'
    run coracle run --rm busybox /etc
    assert_status 126
    run coracle run --no-such-flag busybox
    assert_status 125
    assert_output_has 'unknown flag: --no-such-flag'
}

@test "a process that a signal ends gives 128+n" {
    run coracle run --rm --init busybox sh -c 'kill -TERM $$'
    assert_status 143
}

@test "--rm leaves nothing behind" {
    name=$(unique)
    coracle run --rm --name "$name" busybox true
    run -0 coracle ps -aq --filter "name=$name"
    assert_eq "$output" ""
    [ ! -e "$STORE/names/$name" ]
}

@test "stdin reaches the container with -i and not without" {
    run -0 bash -c 'echo text | coracle run --rm -i busybox cat'
    assert_eq "$output" text
    run -0 bash -c 'echo text | coracle run --rm busybox cat'
    assert_eq "$output" ""
}

@test "a megabyte through stdin and stdout arrives whole" {
    head -c 1000000 /dev/urandom >"$BATS_TEST_TMPDIR/in"
    coracle run --rm -i busybox cat <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
    cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
}

@test "the last line is never lost, 50 times" {
    for i in $(seq 50); do
        out=$(coracle run --rm --network none busybox sh -c "seq 200; echo last-$i")
        [ "$(tail -1 <<<"$out")" = "last-$i" ] && [ "$(wc -l <<<"$out")" = 201 ] || fail "round $i: $(tail -2 <<<"$out")"
    done
}

@test "environment: image, --env-file, -e, and a name alone takes the host's value" {
    printf '# comment\nA=file\nB=file\n\nHOSTVAR\n' >"$BATS_TEST_TMPDIR/env"
    HOSTVAR=host run -0 coracle run --rm --env-file "$BATS_TEST_TMPDIR/env" -e A=flag -e EMPTY= busybox env
    assert_output_has FROM_IMAGE=yes
    assert_output_has A=flag
    assert_output_has B=file
    assert_output_has HOSTVAR=host
    assert_output_has "HOME=/root"
    refute_output_has "XDG_RUNTIME_DIR"
}

@test "user, group, working directory" {
    run -0 coracle run --rm -u alice -w /tmp busybox sh -c 'id -u; id -g; id -G; pwd; echo $HOME'
    assert_eq "$output" $'1000\n1000\n1000 44\n/tmp\n/home'
    run -0 coracle run --rm -u 1234:50 --group-add video busybox id
    assert_output_has 'uid=1234 gid=50(staff)'
    assert_output_has '44(video)'
    run coracle run --rm -u nobodyknows busybox true
    assert_status 125
    assert_output_has 'unable to find user nobodyknows'
    run -0 coracle run --rm -w /made/on/demand busybox pwd
    assert_eq "$output" /made/on/demand
}

@test "bind mounts: read-write, read-only, missing sources" {
    dir=$BATS_TEST_TMPDIR/src
    mkdir "$dir"
    echo content >"$dir/file"
    run -0 coracle run --rm -v "$dir:/mnt" busybox sh -c 'cat /mnt/file; echo new >/mnt/new'
    assert_eq "$output" content
    assert_eq "$(cat "$dir/new")" new
    [ -O "$dir/new" ]
    run coracle run --rm -v "$dir:/mnt:ro" busybox touch /mnt/x
    assert_status 1
    run coracle run --rm --mount "type=bind,src=$dir/missing,dst=/mnt" busybox true
    assert_status 125
    assert_output_has 'bind source path does not exist'
    coracle run --rm -v "$dir/made:/mnt" busybox true
    [ -d "$dir/made" ]
    (cd "$dir" && run -0 coracle run --rm -v ./file:/mnt/f:ro busybox cat /mnt/f && assert_eq "$output" content)
}

@test "tmpfs, shm size and read-only root" {
    run -0 coracle run --rm --read-only --tmpfs /scratch:size=1m busybox sh -c 'touch /scratch/x && ! touch /x 2>/dev/null && df -k /scratch | tail -1'
    assert_output_has 1024
    run -0 coracle run --rm --shm-size 8m busybox sh -c 'df -k /dev/shm | tail -1'
    assert_output_has 8192
}

@test "host name, hosts file, namespaces of its own" {
    run -0 coracle run --rm -h box --add-host db:10.0.0.9 busybox sh -c 'hostname; grep db /etc/hosts; ps | wc -l'
    assert_output_has box
    assert_output_has "10.0.0.9"
    run -0 coracle run --rm busybox sh -c 'echo $$'
    assert_eq "$output" 1
}

@test "capabilities: docker's default set, --cap-add, --cap-drop" {
    run -0 coracle run --rm busybox grep CapEff /proc/self/status
    assert_output_has 00000000a80425fb
    run -0 coracle run --rm --cap-drop ALL busybox grep CapEff /proc/self/status
    assert_output_has 0000000000000000
    run -0 coracle run --rm --cap-drop ALL --cap-add NET_ADMIN busybox grep CapEff /proc/self/status
    assert_output_has 0000000000001000
    run -0 coracle run --rm -u alice busybox grep -E 'Cap(Eff|Prm|Inh|Amb)' /proc/self/status
    refute_output_has a80425fb
}

@test "seccomp is on, unconfined turns it off, a profile of one's own works" {
    run -0 coracle run --rm busybox grep '^Seccomp:' /proc/self/status
    assert_output_has 2
    run -0 coracle run --rm --security-opt seccomp=unconfined busybox grep '^Seccomp:' /proc/self/status
    assert_output_has 0
    echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}' >"$BATS_TEST_TMPDIR/p.json"
    run coracle run --rm --security-opt "seccomp=$BATS_TEST_TMPDIR/p.json" busybox mkdir /x
    assert_status 1
    assert_output_has 'Operation not permitted'
}

@test "no-new-privileges, ulimits, sysctls, oom score" {
    run -0 coracle run --rm --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status
    assert_output_has 1
    run -0 coracle run --rm --ulimit nofile=100:200 busybox sh -c 'ulimit -n; ulimit -Hn'
    assert_eq "$output" $'100\n200'
    run -0 coracle run --rm --sysctl net.ipv4.ip_default_ttl=42 busybox cat /proc/sys/net/ipv4/ip_default_ttl
    assert_eq "$output" 42
    run coracle run --rm --sysctl kernel.hostname=x busybox true
    assert_status 125
}

@test "masked and read-only paths of /proc and /sys" {
    run -0 coracle run --rm busybox sh -c 'ls /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : | wc -w; head -c 1 /proc/timer_list 2>/dev/null | wc -c'
    assert_eq "$output" $'0\n0'
    run coracle run --rm busybox sh -c 'echo 1 >/proc/sys/kernel/panic'
    assert_status 1
    assert_output_has 'Read-only file system'
    run coracle run --rm busybox mkdir /sys/x
    assert_status 1
}

@test "devices: the default nodes work, the host's do not appear" {
    run -0 coracle run --rm busybox sh -c 'echo x >/dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; ls /dev | tr "\n" " "'
    assert_output_has "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    refute_output_has vda
}

@test "no descriptor of the host leaks in" {
    run -0 coracle run --rm busybox sh -c 'ls /proc/self/fd | tr "\n" " "'
    assert_eq "$output" "0 1 2 3 "
}

@test "--cidfile, --label, --name, a name that is taken" {
    coracle run -d --name taken --label a=b --cidfile "$BATS_TEST_TMPDIR/cid" busybox sleep 100
    assert_eq "$(coracle inspect --format '{{.Id}} {{.Config.Labels.a}}' taken)" "$(cat "$BATS_TEST_TMPDIR/cid") b"
    run coracle run --name taken busybox true
    assert_status 125
    assert_output_has 'is already in use by container'
    run coracle run --cidfile "$BATS_TEST_TMPDIR/cid" busybox true
    assert_status 125
    coracle rm -f taken
}

@test "entrypoint and command are merged as docker does it" {
    coracle import --change 'ENTRYPOINT ["echo","entry"]' --change 'CMD ["cmd"]' "$(image_tar busybox)" withentry >/dev/null
    run -0 coracle run --rm withentry
    assert_eq "$output" "entry cmd"
    run -0 coracle run --rm withentry other
    assert_eq "$output" "entry other"
    run -0 coracle run --rm --entrypoint echo withentry alone
    assert_eq "$output" alone
    run coracle run --rm --entrypoint "" withentry
    assert_status 125
    assert_output_has 'no command specified'
}

@test "--pid, --ipc and --network of another container" {
    coracle run -d --name shared busybox sleep 100
    run -0 coracle run --rm --pid container:shared busybox ps
    assert_output_has 'sleep 100'
    run coracle run --rm --pid container:nosuch busybox true
    assert_status 125
    coracle rm -f shared
}

@test "output that cannot be written is an error, a reader that goes away is not" {
    run bash -c 'coracle run --rm busybox echo text >/dev/full'
    assert_status 125
    assert_output_has 'no space left on device'
    run bash -c 'coracle ps >/dev/full'
    assert_status 1
    run -0 bash -c 'coracle run --rm busybox seq 100000 | head -1'
    assert_eq "$output" 1
}

@test "a name is free again when run --rm has returned, under load" {
    for i in $(seq 15); do
        coracle run --rm --name same busybox true & coracle run --rm --name other busybox true
        coracle run --rm --name other busybox true
        wait $!
    done
}

@test "flags that cannot be had are refused with the reason" {
    run coracle run --rm --storage-opt size=1g busybox true
    assert_status 125
    assert_output_has 'project quotas'
}

@test "image and container names that look like paths are refused" {
    run coracle run --rm ../../etc/passwd
    assert_status 125
    run coracle run --name ../x busybox true
    assert_status 125
    assert_output_has 'Invalid container name'
}
