#!/usr/bin/env bats
# oci-runtime: coracle-runtime as engines drive it: lifecycle, hooks, terminals, user namespaces, errors; and under podman.
load ../lib/common

file_setup() {
    export BUNDLE=$CTR_HOME/bundle
    mkdir -p "$BUNDLE/rootfs"
    busybox_tree "$BUNDLE/rootfs"
}

# Every container of a test that failed half-way.
teardown() {
    local id
    for id in $(coracle-runtime list -q); do coracle-runtime delete --force "$id"; done
}

# bundle USERNS ARGS…: writes config.json. USERNS: none (the user's own map), one (just the caller), many (a subordinate range too).
# TERMINAL=true, HOOKS=… (JSON) and MEMORY=… change it.
bundle() {
    local userns=$1 args maps=
    shift
    args=$(printf '"%s",' "${@//\"/\\\"}")
    case $userns in
    one) maps='{"containerID":0,"hostID":%s,"size":1}' ;;
    many) maps='{"containerID":0,"hostID":%s,"size":1},{"containerID":1,"hostID":%s,"size":1000}' ;;
    esac
    local sub_u sub_g
    sub_u=$(awk -F: -v u="$(id -un)" '$1==u {print $2; exit}' /etc/subuid)
    sub_g=$(awk -F: -v u="$(id -un)" '$1==u {print $2; exit}' /etc/subgid)
    # shellcheck disable=SC2059
    cat >"$BUNDLE/config.json" <<JSON
{"ociVersion":"1.0.2","hostname":"box","root":{"path":"rootfs"},"annotations":{"key":"value"},
 "process":{"terminal":${TERMINAL:-false},"consoleSize":{"height":33,"width":77},"user":{"uid":0,"gid":0},"args":[${args%,}],
  "env":["PATH=/bin","FROM=config"],"cwd":"/","noNewPrivileges":true,
  "capabilities":{"bounding":["CAP_KILL"],"effective":["CAP_KILL"],"permitted":["CAP_KILL"]}},
 "mounts":[{"destination":"/proc","type":"proc","source":"proc"},
  {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","mode=755"]},
  {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance","ptmxmode=0666","mode=0620"]}],
 "hooks":${HOOKS:-{\}},
 "linux":{"resources":{"memory":{"limit":${MEMORY:-0}}},
  $([ -z "$maps" ] || printf "\"uidMappings\":[$maps],\"gidMappings\":[$maps]," "$(id -u)" "$sub_u" "$(id -g)" "$sub_g")
  "namespaces":[{"type":"pid"},{"type":"mount"},{"type":"ipc"},{"type":"uts"},{"type":"network"}$([ -z "$maps" ] || echo ',{"type":"user"}')]}}
JSON
    case $userns in one)
        sed -i "s/\"gidMappings\":\[{\"containerID\":0,\"hostID\":[0-9]*/\"gidMappings\":[{\"containerID\":0,\"hostID\":$(id -g)/" "$BUNDLE/config.json"
        ;;
    esac
}

rt() { coracle-runtime "$@" </dev/null; }

@test "run gives output and exit code, in every kind of user namespace" {
    for userns in none one many; do
        bundle $userns sh -c 'id -u; hostname; exit 4'
        run rt run --bundle "$BUNDLE" "r-$userns"
        assert_status 4
        assert_eq "$output" $'0\nbox'
    done
    run -0 rt list -q
    assert_eq "$output" ""
}

@test "create, state, start, exec, kill, delete" {
    bundle many sh -c 'trap "exit 5" TERM; : >/trapped; while :; do sleep 0.05; done'
    rm -f "$BUNDLE/rootfs/trapped"
    rt create --bundle "$BUNDLE" --pid-file "$CTR_HOME/pid" c1 >"$CTR_HOME/out" 2>&1 || fail "$(cat "$CTR_HOME/out")"
    run -0 rt state c1
    assert_output_has '"status": "created"'
    assert_output_has "\"pid\": $(cat "$CTR_HOME/pid")"
    assert_output_has '"key": "value"'
    run -0 rt start c1
    run -0 rt state c1
    assert_output_has '"status": "running"'
    run rt exec --env MORE=1 --cwd /tmp c1 sh -c 'pwd; echo $FROM $MORE; exit 6'
    assert_status 6
    assert_eq "$output" $'/tmp\nconfig 1'
    run rt delete c1
    assert_status 1
    assert_output_has 'not stopped'
    wait_for test -e "$BUNDLE/rootfs/trapped"
    run -0 rt kill c1 TERM
    stopped() { rt state c1 | grep -q '"status": "stopped"'; }
    wait_for stopped
    run -0 rt delete c1
    run rt state c1
    assert_status 1
    assert_output_has 'container does not exist: c1'
}

@test "an id is taken once, started once, and never a path" {
    bundle none sleep 1000
    rt create --bundle "$BUNDLE" twice >"$CTR_HOME/out" 2>&1
    run rt create --bundle "$BUNDLE" twice
    assert_status 1
    assert_output_has 'container with id exists'
    run -0 rt start twice
    run rt start twice
    assert_status 1
    run rt create --bundle "$BUNDLE" ../escape
    assert_status 1
    assert_output_has 'invalid container ID'
    run rt kill .. KILL
    assert_status 1
    run -0 rt delete --force twice
    run -0 rt delete --force twice
}

@test "a program that is not there fails create, with nothing left behind" {
    bundle none no-such-program
    run rt create --bundle "$BUNDLE" gone
    assert_status 127
    assert_output_has 'executable file not found in $PATH'
    run -0 rt list -q
    assert_eq "$output" ""
}

@test "hooks run in order and see the state on stdin" {
    local h='[{"path":"/bin/sh","args":["sh","-c","echo NAME $(grep -o \"status.:.[a-z]*\") >>'$CTR_HOME'/hooks"],"env":["PATH=/bin:/usr/bin"]}]'
    HOOKS="{$(for n in createRuntime poststart poststop; do printf '"%s":%s,' $n "${h//NAME/$n}"; done | sed 's/,$//')}"
    bundle none true
    run -0 rt run --bundle "$BUNDLE" hooked
    assert_eq "$(cat "$CTR_HOME/hooks")" $'createRuntime status":"creating\npoststart status":"running\npoststop status":"stopped'
}

@test "the terminal goes to the console socket" {
    TERMINAL=true bundle none sh -c 'tty && stty size'
    cat >"$CTR_HOME/console.py" <<'PY'
import socket, sys, array, os
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + ".new"); s.listen(1)
os.rename(sys.argv[1] + ".new", sys.argv[1]) # who sees it can connect
c, _ = s.accept()
_, anc, _, _ = c.recvmsg(100, 100)
fds = array.array("i"); fds.frombytes(anc[0][2])
out = b""
while True:
    try: b = os.read(fds[0], 4096)
    except OSError: break
    if not b: break
    out += b
sys.stdout.buffer.write(out)
PY
    python3 "$CTR_HOME/console.py" "$CTR_HOME/console.sock" >"$CTR_HOME/console.out" 3>&- &
    wait_for test -S "$CTR_HOME/console.sock"
    rt create --bundle "$BUNDLE" --console-socket "$CTR_HOME/console.sock" tty >"$CTR_HOME/out" 2>&1 # held until start
    run -0 rt start tty
    wait_for grep -q 77 "$CTR_HOME/console.out"
    assert_eq "$(tr -d '\r' <"$CTR_HOME/console.out")" $'/dev/pts/0\n33 77'
    run rt create --bundle "$BUNDLE" nosocket
    assert_status 1
    assert_output_has '--console-socket'
}

@test "errors go to the log as JSON, limits that are not applied are said" {
    run rt --log "$CTR_HOME/log" --log-format json state nobody
    assert_status 1
    run -0 cat "$CTR_HOME/log"
    assert_output_has '"level":"error","msg":"container does not exist: nobody"'
    MEMORY=1000000 bundle none true
    run -0 rt run --bundle "$BUNDLE" limited
    assert_output_has 'not applied: memory.limit'
    sed -i 's|"resources":{"memory":{"limit":1000000}}|"resources":{"devices":[{"allow":false,"access":"rwm"}],"blockIO":{"weight":100},"unified":{"memory.high":"1"}}|' "$BUNDLE/config.json"
    run -0 rt run --bundle "$BUNDLE" limited
    assert_output_has 'not applied: blockIO.weight, unified'
    run rt create --no-pivot x
    assert_status 1
    run rt create --no-such-option x
    assert_status 1
    run -0 rt features
    assert_output_has '"ociVersionMax"'
}

@test "ps, pause, resume, events, update" {
    bundle many sh -c 'sleep 1000 & while :; do i=$((i + 1)); echo $i >/count; done'
    rt create --bundle "$BUNDLE" c2 >"$CTR_HOME/out" 2>&1 || fail "$(cat "$CTR_HOME/out")"
    run -0 rt start c2
    wait_for test -s "$BUNDLE/rootfs/count"
    run -0 rt ps c2
    assert_output_has 'sleep 1000'
    run -0 rt ps --format json c2
    [[ $output =~ ^\[[0-9]+,[0-9]+\]$ ]] || fail "not two processes"
    used_time() { # which the kernel may count in ticks
        run -0 rt events --stats c2
        [[ $output =~ ^\{\"type\":\"stats\",\"id\":\"c2\",\"data\":\{\"cpu\":\{\"usage\":\{\"total\":[1-9] ]]
    }
    wait_for used_time
    [[ $output =~ \"pids\":\{\"current\":2 ]] || fail "not two processes"
    run -0 rt pause c2
    run -0 rt state c2
    assert_output_has '"status": "paused"'
    local before
    before=$(cat "$BUNDLE/rootfs/count")
    run rt exec c2 true
    assert_status 1
    assert_output_has 'cannot exec in a container that is paused'
    run rt pause c2
    assert_status 1
    run rt delete c2
    assert_status 1
    assert_eq "$(cat "$BUNDLE/rootfs/count")" "$before"
    run -0 rt resume c2
    gone_on() { [ "$(cat "$BUNDLE/rootfs/count")" != "$before" ] && [ -s "$BUNDLE/rootfs/count" ]; }
    wait_for gone_on
    run rt resume c2
    assert_status 1
    if run rt update --pids-limit 50 c2 && [ "$status" != 0 ]; then
        assert_output_has 'no cgroup that would hold: pids.limit'
    fi
    run -0 rt update --cpuset-cpus 0 c2
    assert_eq "$(rt exec c2 grep -h Cpus_allowed_list /proc/1/status | cut -f2)" 0
    rt pause c2
    run -0 rt delete --force c2
    run rt ps c2
    assert_status 1
}

@test "personality, scheduler, ioPriority, recursive attributes; what cannot be is refused" {
    bundle many sh -c 'uname -m; ionice -p $$; cut -d" " -f19,41 /proc/self/stat; grep " /src " /proc/mounts | grep -o "ro,nosuid"'
    mkdir -p "$CTR_HOME/src"
    cp "$BUNDLE/config.json" "$CTR_HOME/plain"
    with() { sed "$@" "$CTR_HOME/plain" >"$BUNDLE/config.json"; }
    local nice
    nice=$(nice) # to be nicer is allowed to everybody, less nice to nobody
    [ "$nice" -ge 5 ] || nice=5
    with -e 's|"linux":{|"linux":{"personality":{"domain":"LINUX32"},|' \
        -e 's|"cwd":"/"|"cwd":"/","scheduler":{"policy":"SCHED_BATCH","nice":'$nice'},"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":6}|' \
        -e "s|\"mounts\":\[|\"mounts\":[{\"destination\":\"/src\",\"type\":\"bind\",\"source\":\"$CTR_HOME/src\",\"options\":[\"rbind\",\"rro\",\"rnosuid\"]},|"
    run -0 rt run --bundle "$BUNDLE" traits
    case $(uname -m) in x86_64) assert_output_has i686 ;; esac
    assert_output_has 'best-effort: prio 6'
    [[ $output =~ $'\n'$nice' 3'$'\n' ]] || fail "not SCHED_BATCH with nice $nice"
    assert_output_has ro,nosuid
    refused() {
        run rt run --bundle "$BUNDLE" traits
        [ "$status" != 0 ] || fail "accepted"
        assert_output_has "$1"
    }
    with -e 's|"linux":{|"linux":{"personality":{"domain":"BSD"},|'
    refused 'personality: unknown value BSD'
    with -e 's|"cwd":"/"|"cwd":"/","scheduler":{"policy":"SCHED_FIFO","priority":10}|'
    [ "$(ulimit -Hr)" != 0 ] || refused 'be scheduled by SCHED_FIFO'
    with -e 's|"linux":{|"linux":{"intelRdt":{"closID":"x"},|'
    refused 'linux.intelRdt of the config'
    with -e 's|"linux":{|"linux":{"mountLabel":"system_u:object_r:container_file_t:s0:c1,c2",|'
    [ -e /sys/fs/selinux/enforce ] || refused 'linux.mountLabel of the config: this machine has no SELinux'
}

# edit STATEMENT: changes the configuration, c to the python statement.
edit() {
    python3 -c "
import json, sys
c = json.load(open(sys.argv[1]))
$1
json.dump(c, open(sys.argv[1], 'w'))" "$BUNDLE/config.json"
}
not_run() {
    run rt run --bundle "$BUNDLE" refused
    [ "$status" != 0 ] || fail "accepted: $1"
    assert_output_has "$1"
}
pid_of() { rt state "$1" | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'; }

@test "a time namespace: its clocks are set forward, for the container and for exec" {
    local here there pid
    bundle many sleep 1000
    edit 'c["linux"]["namespaces"].append({"type": "time"})
c["linux"]["timeOffsets"] = {"monotonic": {"secs": 7000000, "nanosecs": 5}, "boottime": {"secs": 40000000}}'
    rt create --bundle "$BUNDLE" timed >"$CTR_HOME/out" 2>&1 || fail "$(cat "$CTR_HOME/out")"
    rt start timed
    here=$(cut -d. -f1 /proc/uptime)
    there=$(rt exec timed cut -d. -f1 /proc/uptime)
    [ "$there" -ge $((here + 40000000)) ] && [ "$there" -le $((here + 40000000 + 600)) ] || fail "uptime $there there, $here here"
    pid=$(pid_of timed)
    assert_eq "$(rt exec timed awk '{ print $1, $2, $3 }' /proc/1/timens_offsets)" $'monotonic 7000000 5\nboottime 40000000 0'
    assert_eq "$(rt exec timed readlink /proc/self/ns/time)" "$(readlink "/proc/$pid/ns/time")"
    [ "$(readlink "/proc/$pid/ns/time")" != "$(readlink /proc/self/ns/time)" ] || fail "no namespace of its own"
    rt delete --force timed
    bundle many true
    edit 'c["linux"]["timeOffsets"] = {"monotonic": {"secs": 1}}'
    not_run 'linux.timeOffsets without a new namespace of type time'
    edit 'c["linux"]["namespaces"].append({"type": "time"}); c["linux"]["timeOffsets"] = {"realtime": {"secs": 1}}'
    not_run 'there is no clock "realtime" that could be set'
    edit 'c["linux"]["timeOffsets"] = {"boottime": {"secs": -4000000000}}'
    not_run 'linux.timeOffsets'
    edit 'c["linux"]["timeOffsets"] = {"boottime": {"secs": 1}}
c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "pid"]'
    not_run 'give the container a new namespace of type pid'
    run -0 rt features
    assert_output_has '"time"'
}

@test "mounts with ids of their own: a tmpfs has them, what the host has mounted cannot" {
    bundle many sh -c 'stat -c %u:%g /ids; touch /ids/a; stat -c %u:%g /ids/a /plain'
    # inside, 0 of the file system is 5, and 5 is 0; of groups 0 and 6
    edit 'u, g = c["linux"]["uidMappings"], c["linux"]["gidMappings"]
swap = lambda m, n: [{"containerID": 0, "hostID": m[1]["hostID"] + n - 1, "size": 1}, {"containerID": n, "hostID": m[0]["hostID"], "size": 1}]
c["mounts"] += [{"destination": "/ids", "type": "tmpfs", "source": "tmpfs", "options": ["mode=777"], "uidMappings": swap(u, 5), "gidMappings": swap(g, 6)},
  {"destination": "/plain", "type": "tmpfs", "source": "tmpfs", "options": ["idmap"]}]'
    if printf '%s\n' 6.3 "$(uname -r)" | sort -CV; then
        run -0 rt run --bundle "$BUNDLE" mapped
        assert_eq "$output" $'5:6\n0:0\n0:0'
    else # which has none of tmpfs
        not_run 'has no mapped mounts on this kernel'
    fi
    bundle many true
    edit 'c["mounts"].append({"destination": "/src", "type": "bind", "source": "/etc", "options": ["rbind", "ridmap"]})'
    not_run 'cannot have ids of its own'
    assert_output_has 'hint: give the container a user namespace with these ids'
    bundle many true
    edit 'c["mounts"][0]["uidMappings"] = c["mounts"][0]["gidMappings"] = c["linux"]["uidMappings"]'
    not_run 'a mount of type proc cannot have ids of its own'
    edit 'one = [{"containerID": 0, "hostID": 1, "size": 1}]
c["mounts"][0] = {"destination": "/t", "type": "tmpfs", "uidMappings": one, "gidMappings": one}'
    not_run "hostID 1 is none of the container's ids"
    bundle none true
    edit 'c["mounts"].append({"destination": "/t", "type": "tmpfs", "options": ["idmap"]})'
    not_run 'neither the mount nor the container has uidMappings and gidMappings'
    run -0 rt features
    [[ $(tr -d ' \n' <<<"$output") == *'"idmap":{"enabled":true}'* ]] || fail "not in features"
}

# Answers mkdir by ENOTTY, and lets other calls pass; writes down what it was told. Ends with the file SOCKET.end.
agent() {
    cat >"$CTR_HOME/agent.py" <<'PY'
import array, fcntl, json, os, select, socket, struct, sys
RECV, SEND = 0xC0502100, 0xC0182101
log = open(sys.argv[2], "w")
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + ".new"); s.listen(8)
os.rename(sys.argv[1] + ".new", sys.argv[1]) # who sees it can connect
poll = select.poll(); poll.register(s, select.POLLIN)
while True:
    for fd, event in poll.poll():
        if fd == s.fileno():
            c, _ = s.accept()
            data, anc, _, _ = c.recvmsg(1 << 20, 100)
            fds = array.array("i"); fds.frombytes(anc[0][2])
            while more := c.recv(1 << 20):
                data += more
            print(json.dumps(json.loads(data)), file=log, flush=True)
            poll.register(fds[0], select.POLLIN)
        elif event & select.POLLIN:
            buf = bytearray(80)
            try: fcntl.ioctl(fd, RECV, buf)
            except OSError: continue # who asked is gone
            ident, pid, _, nr = struct.unpack_from("QIIi", buf)
            error, flags = (-25, 0) if nr in (83, 258, 34) else (0, 1)
            try: fcntl.ioctl(fd, SEND, struct.pack("QqiI", ident, 0, error, flags))
            except OSError: pass
        else:
            poll.unregister(fd); os.close(fd)
PY
    python3 "$CTR_HOME/agent.py" "$1" "$2" 3>&- &
    AGENT=$!
    wait_for test -S "$1"
}
# Of each state that the agent was sent, s, the value of a python expression.
told() { python3 -c "
import json, sys
for line in open(sys.argv[1]):
    s = json.loads(line)
    print($1)" "$CTR_HOME/agent.log"; }

@test "seccomp: an agent outside answers the system calls that the profile leaves to it, of run and of exec" {
    local pid
    agent "$CTR_HOME/agent.sock" "$CTR_HOME/agent.log"
    bundle many sh -c 'mkdir /made 2>&1; sleep 1000'
    export SOCKET=$CTR_HOME/agent.sock
    edit 'import os
c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": os.environ["SOCKET"], "listenerMetadata": "any=1",
  "syscalls": [{"names": ["mkdir", "mkdirat", "capset", "execve"], "action": "SCMP_ACT_NOTIFY"}]}
c["process"]["noNewPrivileges"] = False'
    rt create --bundle "$BUNDLE" asked >"$CTR_HOME/said" 2>&1 || fail "$(cat "$CTR_HOME/said")"
    run -0 rt start asked
    pid=$(pid_of asked)
    wait_for grep -q 'Inappropriate ioctl' "$CTR_HOME/said"
    assert_eq "$(told 's["fds"], s["pid"], s["metadata"], s["state"]["id"], s["state"]["status"], s["state"]["pid"], s["state"]["bundle"]')" \
        "['seccompFd'] $pid any=1 asked created $pid $BUNDLE"
    run rt exec asked sh -c 'mkdir /made; ls -d /made; echo after'
    assert_output_has 'Inappropriate ioctl'
    assert_output_has after
    assert_eq "$(told 's["state"]["status"]')" $'created\nrunning'
    rt delete --force asked
    kill "$AGENT"
    wait "$AGENT" 2>/dev/null || true
    not_run 'seccomp listener' # nobody is there
    edit 'del c["linux"]["seccomp"]["listenerPath"]'
    not_run 'listenerMetadata is given without a listenerPath'
    edit 'del c["linux"]["seccomp"]["listenerMetadata"]'
    not_run 'SCMP_ACT_NOTIFY without a listenerPath'
    edit 'c["linux"]["seccomp"].update(listenerPath="/x", defaultAction="SCMP_ACT_NOTIFY")'
    not_run 'SCMP_ACT_NOTIFY cannot be the default action'
    edit 'c["linux"]["seccomp"].update(defaultAction="SCMP_ACT_ALLOW"); c["linux"]["seccomp"]["syscalls"][0]["names"] = ["sendmsg"]'
    not_run 'SCMP_ACT_NOTIFY cannot be the action for sendmsg'
    # a listener that nothing is left to is not asked
    edit 'c["linux"]["seccomp"]["syscalls"] = []; c["process"]["args"] = ["echo", "ran"]'
    run -0 rt run --bundle "$BUNDLE" ignored
    assert_eq "$output" ran
    run -0 rt features
    assert_output_has SCMP_ACT_NOTIFY
}

@test "spec writes a configuration that runs" {
    mkdir -p "$CTR_HOME/fresh"
    cp -a "$BUNDLE/rootfs" "$CTR_HOME/fresh/rootfs"
    run -0 rt spec --bundle "$CTR_HOME/fresh"
    run rt spec --bundle "$CTR_HOME/fresh"
    assert_status 1
    assert_output_has 'File config.json exists. Remove it first'
    sed -i -e 's|"terminal": *true|"terminal":false|' -e 's|"sh"|"sh","-c","id -u; hostname; touch /x"|' "$CTR_HOME/fresh/config.json"
    run rt run --bundle "$CTR_HOME/fresh" fresh
    assert_status 1
    assert_output_has $'0\ncoracle\n'
    assert_output_has 'Read-only file system'
}

@test "a create that is killed takes its container with it, and its record can be deleted" {
    bundle many sleep 1000
    for i in $(seq 40); do
        coracle-runtime create --bundle "$BUNDLE" "k$i" </dev/null >"$CTR_HOME/out" 2>&1 3>&- &
        sleep "0.0$((RANDOM % 4))$((RANDOM % 10))"
        kill -KILL $! 2>/dev/null || true
        wait $! || true
    done
    for i in $(rt list -q); do rt delete --force "$i"; done
    run -0 rt list -q
    assert_eq "$output" ""
    waiting() { pgrep -u "$(id -u)" -f "coracle-runtime create --bundle $BUNDLE k"; }
    none_waits() { ! waiting; }
    wait_for none_waits
}

@test "podman runs its containers with it" {
    command -v podman >/dev/null || skip "no podman"
    pod() {
        podman --log-level=error --root "$CTR_HOME/pod/root" --runroot "$CTR_HOME/pod/run" --tmpdir "$CTR_HOME/pod/tmp" \
            --storage-driver vfs --cgroup-manager cgroupfs --runtime "$(command -v coracle-runtime)" "$@" </dev/null
    }
    mkdir -p "$CTR_HOME/pod"
    pod import "$(image_tar busybox)" bb:1 >/dev/null 2>&1 || skip "podman does not work here"
    run pod run --rm --network none -u alice bb:1 sh -c 'id -un; exit 7'
    assert_status 7
    assert_output_has alice
    run -0 pod run -d --name web --network none bb:1 sh -c 'trap "exit 3" TERM; : >/trapped; while :; do sleep 0.05; done'
    wait_for pod exec web test -e /trapped
    run pod exec web sh -c 'echo inside; exit 5'
    assert_status 5
    assert_output_has inside
    run -0 pod stop -t 60 web
    run -0 pod wait web
    assert_eq "${lines[-1]}" 3
    run -0 pod rm -f web
    run pod run --rm --network none bb:1 no-such-program
    assert_status 127
    pod unshare rm -rf "$CTR_HOME/pod" || true
}
