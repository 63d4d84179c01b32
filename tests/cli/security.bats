#!/usr/bin/env bats
# security: what a hostile container, image or neighbour tries. docs/internals/threats.md says which threat is met where; the
# numbers in brackets are its rows.
load ../lib/common
load ../lib/attacks
load ../lib/terminal

file_setup() {
    image busybox
    attacks_setup
}

# An image of a tree that a function made: crafted NAME FUNCTION
crafted() {
    local root=$BATS_TEST_TMPDIR/root-$1
    [ -d "$CTR_HOME/tree" ] || { mkdir "$CTR_HOME/tree" && busybox_tree "$CTR_HOME/tree"; }
    cp -a "$CTR_HOME/tree" "$root"
    "$2" "$root"
    tar --owner=0 --group=0 --numeric-owner -C "$root" -c . | coracle import - "$1" >/dev/null
    chmod -R u+w "$root" && rm -rf "$root"
}

# ---- A: handles and processes that enter the container ----

@test "[1] a binary of the user's is not overwritten through /proc/PID/exe or #!/proc/self/exe, by run or exec" {
    attacks
    own=$CTR_HOME/own
    mkdir "$own"
    cp "$CORACLE_BIN"/coracle* "$own/"
    sums=$(sha256sum "$own"/*)
    printf '#!/proc/self/exe\n' >"$CTR_HOME/attack/script"
    chmod 755 "$CTR_HOME/attack/script" "$own"/*
    attacker -- overwrite 900
    for i in $(seq "$(rounds 15)"); do
        timeout 10 "$own/coracle" exec "attacker$BATS_TEST_NUMBER" /proc/self/exe version || true
        timeout 10 "$own/coracle" exec "attacker$BATS_TEST_NUMBER" /attack/script || true
        # 126: the attacker has its own busybox open for writing at this moment
        "$own/coracle" exec "attacker$BATS_TEST_NUMBER" true || [ $? = 126 ]
    done >/dev/null 2>&1
    attack_failed quiet
    for options in "" "--init" "--init --privileged" "--entrypoint /attack/script"; do
        # shellcheck disable=SC2086
        timeout 20 "$own/coracle" run --rm -v "$CTR_HOME/attack:/attack" $options busybox /proc/self/exe || true
        # shellcheck disable=SC2086
        timeout 20 "$own/coracle" run --rm -v "$CTR_HOME/attack:/attack" $options busybox /attack/attack overwrite 1 || true
    done >"$BATS_TEST_TMPDIR/log" 2>&1
    ! grep BREACH "$BATS_TEST_TMPDIR/log"
    assert_eq "$(sha256sum "$own"/*)" "$sums"
}

@test "[2] 300 execs under a container that looks at every new process: none can be opened before it runs its program" {
    attacker --cap-add SYS_PTRACE -- newcomers 900
    for i in $(seq "$(rounds 100)"); do
        for j in 1 2 3; do coracle exec "attacker$BATS_TEST_NUMBER" true & done
        wait
    done
    for i in $(seq 1000); do # it has met one, however unlucky it was
        [ ! -e "$CTR_HOME/attack/met" ] || break
        coracle exec "attacker$BATS_TEST_NUMBER" true
    done
    slowly coracle exec "attacker$BATS_TEST_NUMBER" true
    attack_failed
}

@test "[3] a working directory through /proc/self/fd or out of the root is refused, by run, exec and an image" {
    evil() { ln -s /proc/self/fd/7/../../.. "$1/way" && ln -s "$CTR_HOME/escape/made" "$1/made" && ln -s ../../../../../../.. "$1/up"; }
    crafted weapon evil
    coracle run -d --name cwd weapon sleep 1000
    for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 15 20; do
        for dir in "/proc/self/fd/$n" "/proc/self/fd/$n/.." "/proc/1/fd/$n"; do
            run timeout "$HUNG" coracle exec -w "$dir" cwd true
            [ "$status" != 0 ] || fail "exec -w $dir worked"
        done
        # at most a directory of the container's own /proc, which can be named from its root
        run timeout "$HUNG" coracle run --rm -w "/proc/self/fd/$n" weapon sh -c 'readlink /proc/self/cwd; readlink -f .'
        [ "$status" != 0 ] || [[ $output =~ ^/proc/[0-9]+/fd$'\n'/proc/[0-9]+/fd$ ]] || fail "run -w /proc/self/fd/$n worked"
    done
    for dir in /proc/self/cwd /proc/1/cwd /proc/self/root /way /way/etc; do
        run coracle run --rm -w "$dir" weapon cat etc/machine-is-host
        [ "$status" != 0 ] || fail "run -w $dir worked"
    done
    run -0 coracle run --rm -w /up weapon sh -c 'pwd; ls -d bin'
    assert_eq "$output" $'/\nbin'
    coracle run --rm -w /made weapon true || true
    coracle rm -f cwd
    nothing_escaped
}

# Programs that helpers of other engines were found to run, and a loader that would tell of every library.
booby_trapped() {
    local p
    for p in ps nsenter tar xz unxz unpigz pigz gzip gunzip zstd bzip2 ldconfig mount umount newuidmap id getent; do
        rm -f "$1/bin/$p"
        printf '#!/bin/sh\necho "$0" >>/tmp/evil\n' >"$1/bin/$p"
        chmod 755 "$1/bin/$p"
    done
    mkdir -p "$1/lib/x86_64-linux-gnu" "$1/usr/lib/gconv"
    echo /lib/evil.so >"$1/etc/ld.so.preload"
    echo 'passwd: evil' >"$1/etc/nsswitch.conf"
    cp "$1/etc/passwd" "$1/lib/x86_64-linux-gnu/libnss_evil.so.2"
}

@test "[4, 5, 6] top, cp, export, diff, commit, exec and stats run no program and load no library of the container" {
    crafted trapped booby_trapped
    coracle run -d --name trap -u alice trapped sleep 1000
    python3 -c '
import io, sys, tarfile
t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|xz")
i = tarfile.TarInfo("from-xz"); i.size = 1; t.addfile(i, io.BytesIO(b"x")); t.close()' >"$BATS_TEST_TMPDIR/x"
    {
        coracle top trap
        coracle top trap -o pid,comm,user
        coracle cp trap:/etc/passwd "$BATS_TEST_TMPDIR/passwd"
        coracle cp "$BATS_TEST_TMPDIR/x" trap:/tmp/
        coracle cp - trap:/tmp <"$BATS_TEST_TMPDIR/x"
        coracle export -o "$BATS_TEST_TMPDIR/tar" trap
        coracle diff trap
        coracle commit trap trapped2
        coracle exec -u alice:staff -w /tmp trap true
        coracle stats --no-stream trap
        coracle run --rm -u alice trapped2 true
    } >"$BATS_TEST_TMPDIR/said" 2>&1 || fail "$(cat "$BATS_TEST_TMPDIR/said")"
    ! grep -E 'ld\.so: |cannot be preloaded' "$BATS_TEST_TMPDIR/said" || fail "a library of the container was looked for"
    run -0 coracle exec trap ls /tmp
    assert_output_has from-xz
    refute_output_has evil
    # the traps do work
    coracle exec trap ps
    run -0 coracle exec trap cat /tmp/evil
    assert_output_has ps
    coracle rm -f trap
}

@test "[7] no abstract socket is there for a container in the host's network" {
    names() { grep -aoE '@.*(coracle|containerd).*' | sort -u; }
    names </proc/net/unix >"$BATS_TEST_TMPDIR/before" # of a containerd of the machine's own
    coracle run -d --name socketed busybox sleep 1000
    run -0 coracle run --rm --network host busybox cat /proc/net/unix
    refute_output_has @coracle
    assert_eq "$(names <<<"$output" | comm -13 "$BATS_TEST_TMPDIR/before" -)" ""
    coracle rm -f socketed
}

@test "[8] --pid=host, even with SYS_PTRACE or --privileged: monitors, commands and helpers are out of reach" {
    coracle run -d --name neighbour busybox sleep 1000
    for options in "" "--cap-add SYS_PTRACE" "--privileged" "--cap-add ALL --security-opt seccomp=unconfined"; do
        # shellcheck disable=SC2086
        attacker --pid host $options -- engine 900
        for i in 1 2 3; do
            coracle run --rm busybox true
            coracle exec neighbour true
            tar -c -C /usr/bin . 2>/dev/null | head -c 5000000 | coracle import - "scratch$i" >/dev/null 2>&1 || true
        done
        attack_failed
    done
    coracle rm -f neighbour
}

@test "[8] --pid=host: nothing of the engine is in reach at any step of a start, an exec or a cp, however long the step takes" {
    coracle run -d --name neighbour busybox sleep 1000
    attacker --pid host --privileged -- engine 900
    slowly coracle run --rm --network none --oom-score-adj 700 busybox true
    slowly coracle exec neighbour true
    slowly coracle cp neighbour:/etc/passwd - >/dev/null
    slowly coracle unshare true
    attack_failed
    coracle rm -f neighbour
}

@test "[8] a container that moves into a user namespace of its own is not taken for the user's" {
    coracle run -d --name nested --security-opt seccomp=unconfined --cap-add SYS_ADMIN busybox unshare -U -r sleep 1000
    coracle exec nested true
    pid=$(coracle inspect -f '{{.State.Pid}}' nested)
    moved() { [ "$(cat "/proc/$pid/comm")" = sleep ]; } # until then it is in ours
    wait_for moved
    inner=$(readlink "/proc/$pid/ns/user")
    coracle run -d --name after busybox sleep 1000
    outer=$(readlink "/proc/$(coracle inspect -f '{{.State.Pid}}' after)/ns/user")
    [ "$inner" != "$outer" ] || fail "a new container is in the namespace $inner that another one made"
    run -0 coracle run --rm busybox cat /proc/self/uid_map
    [[ $output =~ 0\ +$(id -u)\ +1 ]]
    coracle rm -f nested after
}

@test "[9] nothing is inheritable, for root and others, in run and exec; what a user has is what was asked for" {
    coracle run -d --name caps -u alice --cap-add NET_RAW busybox sleep 1000
    for command in "run --rm busybox" "run --rm -u alice busybox" "run --rm --privileged busybox" "exec caps" "exec -u 0 caps" "exec --privileged caps"; do
        # shellcheck disable=SC2086
        run -0 coracle $command sh -c 'grep -E "CapInh|CapAmb" /proc/self/status; id -u'
        assert_output_has $'CapInh:\t0000000000000000\nCapAmb:\t0000000000000000'
    done
    run -0 coracle exec caps grep CapEff /proc/self/status
    assert_output_has 0000000000000000
    coracle rm -f caps
}

@test "[10] supplementary groups: the primary group is always there, the caller's never" {
    run -0 coracle run --rm busybox grep Groups: /proc/self/status
    assert_eq "$(tr -d '[:space:]' <<<"$output")" Groups:0
    run -0 coracle run --rm -u 1000:50 --group-add 44 busybox sh -c 'id -G'
    assert_eq "$output" "50 44"
    # a file that is closed to a group is closed to a process of that group
    run coracle run --rm busybox sh -c 'echo secret >/f; chown 0:1000 /f; chmod 604 /f; su -s /bin/cat alice /f; echo "code $?"'
    assert_output_has "code 1"
}

@test "[11] user ids that overflow or make no sense are errors, never root" {
    coracle run -d --name users busybox sleep 1000
    for user in 4294967296 4294967295 2147483648 -1 18446744073709551616 0x0 +0 ' 0' '0 ' -0 1000:4294967296 1000:-1 1000:0x0 :: 0:0:0 \
        99999999999999999999999999 ./root alice/ $'0\n' $'root\n' 1e3; do
        run coracle run --rm -u "$user" busybox id -u
        [ "$status" != 0 ] || fail "run -u '$user' worked"
        run coracle exec -u "$user" users id -u
        [ "$status" != 0 ] || fail "exec -u '$user' worked"
    done
    run coracle run --rm -u 2000000000 busybox id -u # a number like any other, but not one of this user's
    [ "$status" != 0 ] || fail "an id beyond the map worked"
    coracle rm -f users
}

@test "[12] the host's environment stays outside, also where the image names a variable without a value" {
    layout=$BATS_TEST_TMPDIR/layout
    plain=$(coracle image inspect -f '{{.Id}}' busybox)
    coracle save busybox -o "$BATS_TEST_TMPDIR/a.tar"
    mkdir "$layout" && tar -xf "$BATS_TEST_TMPDIR/a.tar" -C "$layout"
    python3 - "$layout" <<'P'
import hashlib, json, os, sys
os.chdir(sys.argv[1])
put = lambda b: (lambda h: (open("blobs/sha256/" + h, "wb").write(b), h)[1])(hashlib.sha256(b).hexdigest())
index = json.load(open("index.json"))
digest = lambda d: "blobs/sha256/" + d["digest"].split(":")[1]
manifest = json.load(open(digest(index["manifests"][0])))
config = json.load(open(digest(manifest["config"])))
config["config"]["Env"] = ["PATH=/bin", "HOSTSECRET", "HOST*", "=HOSTSECRET", ""]
raw = json.dumps(config).encode()
manifest["config"].update(digest="sha256:" + put(raw), size=len(raw))
raw = json.dumps(manifest).encode()
index["manifests"] = [dict(index["manifests"][0], digest="sha256:" + put(raw), size=len(raw))]
json.dump(index, open("index.json", "w"))
if os.path.exists("manifest.json"): os.remove("manifest.json")
P
    tar -C "$layout" -c . | coracle load >"$BATS_TEST_TMPDIR/loaded" 2>&1 || fail "$(cat "$BATS_TEST_TMPDIR/loaded")"
    id=$(coracle image inspect -f '{{.Id}}' busybox) # it has taken the name
    [ "$id" != "$plain" ]
    coracle tag "$plain" busybox
    HOSTSECRET=leak run -0 coracle run --rm "$id" env
    refute_output_has leak
    refute_output_has FROM_IMAGE
    HOSTSECRET=leak run coracle run --rm busybox env
    refute_output_has leak
    HOSTSECRET=leak coracle run -d --name env busybox sleep 1000
    HOSTSECRET=leak run -0 coracle exec env sh -c 'env; tr "\0" "\n" </proc/1/environ'
    refute_output_has leak
    coracle rm -f env
}

# typed_everywhere: each way into a container from a terminal, and a tool that hands on what it was given, for the attack to bite
naive() { echo "unshare -U -r -p -f $CTR_HOME/attack/attack"; }
ways_in() {
    local with=" -v $CTR_HOME/attack:/attack busybox /attack/attack" flags
    for flags in "" -i -t -it; do
        echo "coracle run --rm $flags$with"
        echo "coracle exec $flags typed /attack/attack"
    done
    echo "coracle run --rm --privileged$with"
    echo "coracle run --rm --pid host -i$with"
    echo "coracle run --rm -it --init --security-opt seccomp=unconfined$with"
    echo "coracle run --rm -i --cap-add ALL --userns nomap$with"
    echo "coracle exec --privileged -i typed /attack/attack"
}
typing_works() { [ "$(cat /proc/sys/dev/tty/legacy_tiocsti 2>/dev/null || echo 1)" = 1 ]; }

@test "[13] the caller's terminal is not in a container, and what TIOCSTI types there is not the caller's input" {
    attacks
    command -v tmux >/dev/null || skip "tmux is needed"
    coracle run -d --name typed -v "$CTR_HOME/attack:/attack" busybox sleep 1000
    term_open 100 30
    type_it() {
        term_clear
        term_type "$1 type \$'echo INJ''ECTED\n' \$(stat -Lc '%d %r' /dev/stdin); echo o''ver"
        term_expect over
        term_type 'echo ne''xt'
        term_expect next
    }
    type_it "$(naive)"
    term_expect "BREACH the caller's terminal"
    ! typing_works || term_expect INJECTED
    while read -r command; do
        type_it "$command"
        # the container's own terminal may echo what was typed; the shell outside must not have run it
        ! term_screen | grep -x INJECTED || fail "the caller's shell ran it: $command" "$(term_screen)"
        term_refuse BREACH
        term_expect "breaches 0"
    done < <(ways_in)
    term_close
    coracle rm -f typed
}

@test "[13] nor is a virtual console, for TIOCLINUX to paste into it" {
    attacks
    [ -w /dev/tty60 ] || skip "no virtual console that is ours"
    coracle run -d --name typed -v "$CTR_HOME/attack:/attack" busybox sleep 1000
    # shellcheck disable=SC2046
    on_console() { run python3 "$TESTS_DIR/lib/console.py" /dev/tty60 $1 type INJECTED $(stat -Lc '%d %r' /dev/tty60); }
    on_console "$(naive)"
    assert_status 99
    ! typing_works || assert_output_has "input: b'INJECTED"
    while read -r command; do
        on_console "$command"
        assert_status 0
        assert_output_has "input: b''"
    done < <(ways_in)
    coracle rm -f typed
}

@test "[14] the user's session keyring is not the container's, with any filter" {
    attacks
    echo '{"defaultAction": "SCMP_ACT_ALLOW"}' >"$BATS_TEST_TMPDIR/all.json"
    "$CTR_HOME/attack/attack" with-key probe-key true || skip "no keyrings here"
    coracle run -d --name keyed --security-opt seccomp=unconfined -v "$CTR_HOME/attack:/attack" busybox sleep 1000
    coracle run -d --name keyed2 --security-opt "seccomp=$BATS_TEST_TMPDIR/all.json" -v "$CTR_HOME/attack:/attack" busybox sleep 1000
    for command in "run --rm -v $CTR_HOME/attack:/attack busybox" "run --rm --security-opt seccomp=unconfined -v $CTR_HOME/attack:/attack busybox" \
        "run --rm --security-opt seccomp=$BATS_TEST_TMPDIR/all.json -v $CTR_HOME/attack:/attack busybox" "exec keyed" "exec --privileged keyed" "exec keyed2"; do
        # shellcheck disable=SC2086
        run -0 "$CTR_HOME/attack/attack" with-key coracle-test-key coracle $command /attack/attack find-key coracle-test-key
        refute_output_has BREACH
        assert_output_has keyctl:
    done
    coracle rm -f keyed keyed2
}

@test "[2] an exec has the walls of its container: capabilities, filter, no_new_privs, limits, cgroup, namespaces" {
    coracle run -d --name walls --cap-drop ALL --cap-add CHOWN --security-opt no-new-privileges --ulimit nofile=100:100 --ulimit core=0 busybox sleep 1000
    look='grep -E "^(Cap|NoNewPrivs|Seccomp)" /proc/$P/status; cat /proc/$P/limits /proc/$P/cgroup; for n in pid mnt net ipc uts user cgroup; do readlink /proc/$P/ns/$n; done'
    assert_eq "$(coracle exec walls sh -c "P=self; $look")" "$(coracle exec walls sh -c "P=1; $look")"
    run -0 coracle exec walls sh -c 'ls /proc/self/fd | xargs'
    assert_eq "$output" "0 1 2 3" # the last is what ls reads
    coracle rm -f walls
}

# ---- B: the root file system as the weapon ----

@test "[15-18] /dev, /proc, /sys, /dev/null, /dev/console and files that are mounted on, as links out of the image: nothing of the host is touched" {
    dev() { rmdir "$1/dev" && ln -s "$CTR_HOME/escape" "$1/dev"; }
    dev_up() { rmdir "$1/dev" && ln -s "../../../../../../../..$CTR_HOME/escape" "$1/dev"; }
    proc() { rmdir "$1/proc" && ln -s "$CTR_HOME/escape" "$1/proc"; }
    sys() { rmdir "$1/sys" && ln -s /proc "$1/sys"; }
    files() { ln -s "$CTR_HOME/escape/null" "$1/dev/null" && ln -s "$CTR_HOME/escape/console" "$1/dev/console" && mkdir "$1/dev/tty"; }
    etc() { mv "$1/etc" "$1/etc2" && ln -s "$CTR_HOME/escape" "$1/etc"; }
    hosts() { ln -s "$CTR_HOME/escape/hosts" "$1/etc/hosts" && ln -s ../../../../../..$CTR_HOME/escape/r "$1/etc/resolv.conf"; }
    for image in dev dev_up proc sys files etc hosts; do
        crafted "weapon-$image" $image
        for options in "" "-t" "--init" "-w $CTR_HOME/escape/cwd" "--tmpfs /dev/shm/../../etc/x" "--privileged"; do
            # shellcheck disable=SC2086
            timeout "$HUNG" coracle run --rm $options "weapon-$image" true >/dev/null 2>&1 </dev/null || [ $? != 124 ] || fail "weapon-$image $options hangs"
            nothing_escaped
        done
    done
    run coracle run --rm weapon-proc true # what is written to /proc must not go elsewhere (17)
    [ "$status" != 0 ] || fail "a /proc that is a link was mounted on"
    # what the masks cover is the real thing (15)
    run -0 coracle run --rm weapon-files sh -c 'stat -c %t:%T /dev/null; stat -c %t:%T /proc/kcore 2>/dev/null || echo 1:3'
    assert_eq "$output" $'1:3\n1:3'
}

@test "[17] mounts over /proc are refused, whatever way the path takes" {
    evil() { ln -s /proc "$1/p" && ln -s /proc/self "$1/me"; }
    crafted weapon-p evil
    for dest in /proc/self/attr /proc/sys /p/sys /me/attr /proc/../proc/sys/kernel /proc/1 /p; do
        run coracle run --rm -v "$CTR_HOME/escape:$dest" weapon-p true
        [ "$status" != 0 ] || fail "a mount on $dest worked"
    done
    nothing_escaped
}

@test "[19, 20] 200 starts while a neighbour swaps a directory of a shared mount for a link: nothing is made outside" {
    attacks
    mkdir -p "$CTR_HOME/shared/d" "$CTR_HOME/tool"
    ln -s "$CTR_HOME/escape" "$CTR_HOME/shared/l"
    ln -s "../../../../../../../../..$CTR_HOME/escape" "$CTR_HOME/shared/l2"
    attacker -v "$CTR_HOME/shared:/s" -- swap /s/d /s/l 900
    one() { timeout 20 coracle run --rm -v "$CTR_HOME/shared:/s" -v "$CTR_HOME/tool:/s/d/a/b" -v /etc/hostname:/s/d/file -w /s/l/c busybox true; }
    for i in $(seq "$(rounds 50)"); do
        for j in 1 2 3 4; do one >/dev/null 2>&1 & done
        wait
    done
    touch "$CTR_HOME/attack/stop"
    coracle wait "attacker$BATS_TEST_NUMBER" >/dev/null
    run -0 coracle logs "attacker$BATS_TEST_NUMBER"
    [[ $output =~ tried\ [1-9] ]] || fail "nothing was swapped"
    coracle rm -f "attacker$BATS_TEST_NUMBER"
    nothing_escaped
}

@test "[19, 21, 26] starts on a subpath of a volume, and exports of it, while a neighbour swaps it for a link: only the volume is mounted and read" {
    local outside=$CTR_HOME/swap-outside
    mkdir -p "$outside/in"
    echo geheim >"$outside/in/file"
    coracle run --rm -v swapped:/v busybox sh -c "mkdir -p /v/d/in; echo mine >/v/d/in/file; ln -s $outside /v/l"
    attacker -v swapped:/s -- swap /s/d /s/l 900
    try() {
        timeout 20 coracle run --rm --mount type=volume,src=swapped,dst=/m,volume-subpath=d/in busybox cat /m/file
        timeout 20 coracle cp "attacker$BATS_TEST_NUMBER:/s/d/in/file" -
    }
    for i in $(seq "$(rounds 20)"); do
        for j in 1 2 3; do try >>"$BATS_TEST_TMPDIR/seen" 2>/dev/null & done
        [ $((i % 3)) != 0 ] || coracle volume export swapped >>"$BATS_TEST_TMPDIR/exported" 2>/dev/null || true
        wait
    done
    for i in $(seq 200); do # each has seen the directory, too, however unlucky it was
        grep -aq mine "$BATS_TEST_TMPDIR/seen" || try >>"$BATS_TEST_TMPDIR/seen" 2>/dev/null || true
        grep -aq mine "$BATS_TEST_TMPDIR/exported" || coracle volume export swapped >>"$BATS_TEST_TMPDIR/exported" 2>/dev/null || true
    done
    attack_failed quiet
    grep -aq mine "$BATS_TEST_TMPDIR/seen" || fail "no start found the directory"
    grep -aq mine "$BATS_TEST_TMPDIR/exported" || fail "no export found the directory"
    ! grep -aq geheim "$BATS_TEST_TMPDIR/seen" "$BATS_TEST_TMPDIR/exported" || fail "a file of the host was mounted, copied or exported"
}

@test "[50-54] builds: links of a stage, the context and an archive, ids and sources of mounts reach nothing of the host" {
    local secret=$CTR_HOME/secret up=../../../../../../../../../../../.. n=0 looked=0 line
    mkdir -p "$secret" "$BATS_TEST_TMPDIR/context/sub"
    cd "$BATS_TEST_TMPDIR/context"
    echo geheim >"$secret/file"
    ln -s "$secret" out
    ln -s "$up$secret/file" sub/up
    python3 -c '
import sys, tarfile
t = tarfile.open("evil.tar", "w")
for name, target in ("l", sys.argv[1]), ("m", "/l"):
    i = tarfile.TarInfo(name); i.type = tarfile.SYMTYPE; i.linkname = target; t.addfile(i)
for name in "l/made", "m/made", "../made", "/x/../../../made":
    t.addfile(tarfile.TarInfo(name))' "$secret"
    while read -r line; do
        n=$((n + 1))
        printf 'FROM busybox AS evil\nRUN ln -s %s /link && ln -s %s /up && ln -s %s /w\nFROM busybox\n%s\nFROM evil\nWORKDIR /w/made\n' \
            "$secret" "$up$secret" "$secret" "$line" >Dockerfile
        run timeout "$HUNG" coracle build -t "evil$n" --target 1 .
        refute_output_has geheim
        [ "$status" = 0 ] || continue
        run -0 coracle run --rm "evil$n" sh -c 'cat /m/file /m /m/up 2>/dev/null; true'
        refute_output_has geheim
        looked=$((looked + 1))
    done <<LINES
COPY --from=evil /bin/busybox /m/file
COPY --from=evil /link /m
COPY --from=evil /link/file /m
COPY --from=evil /up/file /m
COPY out /m
COPY out/file /m
COPY sub /m
COPY $up$secret/file /m
ADD evil.tar /m/
RUN --mount=type=bind,from=evil,source=/link,target=/m cat /m/file || true
RUN --mount=type=bind,source=out,target=/m cat /m/file || true
RUN --mount=type=bind,source=$up$secret,target=/m cat /m/file || true
RUN --mount=type=cache,id=$up$secret,target=/m cat /m/file || true
RUN --mount=type=cache,from=evil,source=/link,target=/m cat /m/file || true
LINES
    [ $looked -ge 3 ] || fail "only $looked of $n images could be looked into" # what has nothing evil, and the caches
    run timeout "$HUNG" coracle build -t evil-workdir .
    assert_eq "$(ls "$secret")" file
    [ ! -e "$BATS_TEST_TMPDIR/made" ]
}

@test "[22] a passwd that is a FIFO, a device, a directory, a giant or a link out: an answer at once, and never root" {
    fifo() { rm "$1/etc/passwd" && mkfifo "$1/etc/passwd"; }
    dir() { rm "$1/etc/passwd" && mkdir "$1/etc/passwd"; }
    zero() { rm "$1/etc/passwd" && ln -s /dev/zero "$1/etc/passwd"; }
    out() { rm "$1/etc/passwd" && echo 'alice:x:0:0::/:' >"$CTR_HOME/attack/passwd" && ln -s "$CTR_HOME/attack/passwd" "$1/etc/passwd"; }
    giant() { head -c 3000000 /dev/zero | tr '\0' 'a' >>"$1/etc/passwd"; }
    groups() { rm "$1/etc/group" && mkfifo "$1/etc/group"; }
    for image in fifo dir zero out giant groups; do
        crafted "users-$image" $image
        run timeout "$HUNG" coracle run --rm -u alice "users-$image" id -u
        [ "$status" != 124 ] || fail "$image: it hangs"
        [ "$status" != 0 ] || fail "$image: alice was found"
        run timeout "$HUNG" coracle run --rm -u 1000 "users-$image" id -u
        [ "$status" != 124 ] && [ "$output" != 0 ] || fail "$image: $output"
    done
    coracle run -d --name filed busybox sleep 1000
    coracle exec filed sh -c 'rm /etc/passwd; mkfifo /etc/passwd'
    run timeout "$HUNG" coracle exec -u alice filed id -u
    [ "$status" != 124 ] && [ "$status" != 0 ] || fail "exec: $output"
    coracle rm -f filed
}

@test "[24] a working directory through links is made in the container, not on the host" {
    evil() { ln -s "$CTR_HOME/escape" "$1/abs" && ln -s "../../../../../../../..$CTR_HOME/escape" "$1/rel" && ln -s /abs/loop "$1/loop"; }
    crafted weapon-wd evil
    for dir in /abs/made /rel/made /abs /loop/x "$CTR_HOME/escape/made" /abs/../abs/x/../y; do
        timeout 20 coracle run --rm -w "$dir" weapon-wd true || true
    done
    nothing_escaped
}

@test "[28] store and run directories are closed to others, sockets too; nothing is setuid for somebody else to run" {
    coracle run -d --name modes busybox sleep 1000
    id=$(coracle inspect -f '{{.Id}}' modes)
    assert_eq "$(stat -c %a "$STORE" "$XDG_RUNTIME_DIR/coracle" "$XDG_RUNTIME_DIR/coracle/$id" "$XDG_RUNTIME_DIR/coracle/$id/control" | xargs)" "700 700 700 600"
    run -0 find "$XDG_RUNTIME_DIR/coracle" -ignore_readdir_race -perm /077 ! -type d
    assert_eq "$output" ""
    run -0 find "$STORE/containers/$id" -maxdepth 1 -name '*.json' -perm /022
    assert_eq "$output" ""
    coracle rm -f modes
    mkdir -m 755 "$BATS_TEST_TMPDIR/open"
    coracle --root "$BATS_TEST_TMPDIR/open" ps
    assert_eq "$(stat -c %a "$BATS_TEST_TMPDIR/open")" 700
}

@test "[29] labels of an image and annotations name no program, hook, handler or device that the host takes" {
    printf '#!/bin/sh\ntouch %s/ran\n' "$CTR_HOME/escape" >"$CTR_HOME/attack/host-program"
    chmod 755 "$CTR_HOME/attack/host-program"
    changes=() annotations=()
    for key in run.oci.hooks.prestart run.oci.handler run.oci.systemd.subgroup io.containers.hooks.prestart io.containers.trace-syscall \
        org.systemd.property.ExecStart com.nvidia.cdi cdi.k8s.io/devices io.podman.annotations.init-path org.criu.config; do
        changes+=(--change "LABEL $key=$CTR_HOME/attack/host-program")
        annotations+=(--annotation "$key=$CTR_HOME/attack/host-program")
    done
    coracle import "${changes[@]}" "$(image_tar busybox)" labelled >/dev/null
    run -0 coracle run --name labelled "${annotations[@]}" labelled echo ran inside
    assert_eq "$output" "ran inside"
    run -0 coracle start -a labelled
    coracle rm labelled >/dev/null
    nothing_escaped
}

@test "without XDG_RUNTIME_DIR a directory in /tmp that somebody else prepared is refused" {
    unshare --map-auto --map-root-user true 2>/dev/null || skip "unshare --map-auto is needed"
    for hostile in 'mkdir -m 777 $D' 'mkdir -m 700 $D; chown 1 $D' 'mkdir -m 770 $D' 'mkdir -m 700 /tmp/mine; ln -s /tmp/mine $D' 'touch $D'; do
        run unshare --map-auto --map-root-user -m bash -c "mount --bind '$CORACLE_BIN' /mnt; mount -t tmpfs -o mode=1777 none /tmp; D=/tmp/coracle-0; $hostile; env -u XDG_RUNTIME_DIR /mnt/coracle --root /tmp/s ps"
        [ "$status" != 0 ] || fail "taken: $hostile"
        assert_output_has "not a private directory"
    done
    chmod 777 "$XDG_RUNTIME_DIR" # one that others may write to is not used
    run coracle info
    chmod 700 "$XDG_RUNTIME_DIR"
    refute_output_has "$XDG_RUNTIME_DIR"
}

# ---- D and F: names, kernel surface, resources ----

@test "[56, 57, 58] AF_ALG, masked files, read-only files, cgroup files, core_pattern, release_agent" {
    attacks
    run -0 coracle run --rm -v "$CTR_HOME/attack:/attack" busybox /attack/attack af-alg
    refute_output_has BREACH
    run -0 coracle run --rm busybox sh -c '
        for f in /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/sched_debug /proc/interrupts; do
            [ ! -e $f ] || [ -z "$(head -c 1 $f 2>/dev/null)" ] || echo "LEAK $f"; done
        for d in /proc/acpi /proc/asound /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do
            [ ! -d $d ] || [ -z "$(ls -A $d)" ] || echo "LEAK $d"; done
        for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/panic_on_oom /proc/sysrq-trigger /proc/sys/fs/binfmt_misc/register \
            /sys/kernel/uevent_helper /sys/fs/cgroup/release_agent /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/memory/release_agent /sys/power/state /proc/irq/default_smp_affinity; do
            (echo x >$f) 2>/dev/null && echo "WRITTEN $f"; done
        mkdir /sys/fs/cgroup/x 2>/dev/null && echo "MADE a cgroup"
        find /sys/fs/cgroup -maxdepth 3 -type f -exec sh -c "(: >>{}) 2>/dev/null && echo WRITABLE {}" \; 2>/dev/null | head -3
        mount -t cgroup2 none /mnt 2>/dev/null && echo MOUNTED
        mknod /tmp/sda b 8 0 2>/dev/null && (: </tmp/sda) 2>/dev/null && echo DEVICE; echo done'
    assert_eq "$output" done
}

@test "[59] output that nobody reads, and 100 clients that come and go, do not make the monitor grow" {
    coracle run -d --name flood --log-opt max-size=1m busybox sh -c 'yes 0123456789012345678901234567890123456789'
    monitor=$(grep -o '[0-9]*' "$XDG_RUNTIME_DIR/coracle/$(coracle inspect -f '{{.Id}}' flood)/monitor" | head -1)
    for i in $(seq "$(rounds 20)"); do
        for j in 1 2 3 4 5; do coracle attach --no-stdin flood 2>/dev/null </dev/null | head -c 1000 >/dev/null & done
        wait
    done
    stopped=()
    for i in $(seq 8); do
        coracle attach --no-stdin flood >/dev/null 2>&1 </dev/null &
        stopped+=($!)
        kill -STOP $!
    done
    coracle exec flood sleep 1
    kb=$(awk '/^RssAnon/ { print $2 }' "/proc/$monitor/status")
    kill -KILL "${stopped[@]}"
    wait "${stopped[@]}" 2>/dev/null || true
    assert_eq "$(coracle attach --no-stdin flood 2>/dev/null </dev/null | head -c 1000 | wc -c)" 1000 # nobody's place is lost
    coracle rm -f flood
    [ "$kb" -le "$(sanitized && echo 32768 || echo 8192)" ] || fail "the monitor has grown to $kb KB"
}

@test "[64] escape sequences in names, labels, commands, images and errors do not reach the terminal" {
    e=$'\e]0;PWNED\a\e[2J'
    coracle create --name escaped --label "a=$e" --label "$e=b" -e "X=$e" --hostname plain busybox "/bin/$e" "$e" >/dev/null
    printf 'x' >"$BATS_TEST_TMPDIR/x"
    tar -C "$BATS_TEST_TMPDIR" -c x | coracle import --change "LABEL evil=$e" --change "CMD [\"/$(printf '\\u001b')[2J\"]" -m "$e" - escaping >/dev/null
    all() {
        coracle ps -a --no-trunc
        coracle ps -a --format 'table {{.Names}}\t{{.Labels}}\t{{.Command}}'
        coracle inspect escaped
        coracle image inspect escaping
        coracle images -a --no-trunc
        coracle start escaped
        coracle start "$e"
        coracle inspect "$e"
        coracle rm "$e"
        coracle rmi "$e"
        coracle run --rm "$e" true
        coracle run --rm busybox "/$e"
        coracle run --rm busybox "$e"
        coracle run --rm -u "$e" busybox true
        coracle run --rm -w "/$e" --read-only busybox true
        coracle run --rm -v "/tmp:$e" busybox true
        coracle run --rm --name "$e" busybox true
        coracle run --rm "--$e" busybox true
        coracle run --rm --network "$e" busybox true
        coracle run --rm escaping
        coracle exec escaped "$e"
        coracle logs "$e"
        coracle pull "localhost:1/$e"
        coracle import "/nonexistent/$e"
        coracle "$e"
    }
    all >"$BATS_TEST_TMPDIR/out" 2>&1 || true
    [ -s "$BATS_TEST_TMPDIR/out" ]
    ! grep -n -a $'\e\|\a' "$BATS_TEST_TMPDIR/out" | cat -v | head -5 | grep . || fail "an escape sequence came through"
    coracle rm -f escaped >/dev/null
}

@test "[65] there is no API: while containers run nothing listens on a port, and no socket speaks HTTP, whatever the host's name" {
    unshare --map-auto --map-root-user -n true 2>/dev/null || skip "unshare --map-auto -n is needed"
    # a network namespace in which nobody else listens; the helper of networks is at work, too
    run -0 unshare --map-auto --map-root-user -n bash -c '
        set -e
        export XDG_RUNTIME_DIR=$1/run
        mkdir -m 700 "$1/run"
        here=$1
        ours() { coracle --root "$here/store" "$@"; }
        ip link set lo up
        ours import "$2" busybox
        trap "ours rm -f unheard" EXIT
        ours run -d --name unheard busybox sleep 1000
        ours exec unheard true
        tables=$(ls /proc/net/{tcp,tcp6,udp,udp6,raw,raw6} 2>/dev/null || true) # those with a 6 may not be there
        awk "FNR > 1 && (FILENAME !~ /tcp/ || \$4 == \"0A\") { print \"LISTENS\", FILENAME, \$2 }" $tables
        find "$1/run" -type s -printf "SOCKET %m %f\n"
        for socket in $(find "$1/run" -type s); do
            for request in /_ping /version /v1.47/containers/json; do
                ! curl -s --max-time 5 --unix-socket "$socket" "http://rebound.example$request" || echo "ANSWERED $request"
            done
        done
        echo looked' - "$BATS_TEST_TMPDIR" "$(image_tar busybox)"
    refute_output_has LISTENS
    refute_output_has ANSWERED
    assert_output_has "SOCKET 600 control"
    [ "$(grep -c '^SOCKET' <<<"$output")" = "$(grep -c '^SOCKET 600 ' <<<"$output")" ] || fail "a socket is open to others"
    assert_output_has looked
    for command in daemon serve "system service" api; do
        # shellcheck disable=SC2086
        run timeout "$HUNG" coracle $command </dev/null
        [ "$status" != 0 ] && [ "$status" != 124 ] || fail "there is a command $command"
    done
}

@test "[66] a limit that cannot be set is an error or said, never ignored" {
    for limit in "--memory 64m" "--pids-limit 50" "--cpus 0.5" "--cpuset-cpus 0" "--memory-swap 128m --memory 64m"; do
        # shellcheck disable=SC2086
        run coracle run --rm $limit busybox sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max 2>/dev/null; echo ran'
        if [ "$status" = 0 ] && [[ $output != *[Ww][Aa][Rr][Nn]* ]]; then
            [[ $output =~ 67108864|50 ]] || [[ $limit == --cpu* ]] || fail "$limit was ignored in silence"
            [[ $limit != --cpu* ]] || fail "$limit: nothing was said"
        fi
    done
    run coracle run --rm --ulimit nofile=999999999999 busybox true
    [ "$status" != 0 ] || fail "a limit beyond the hard limit was ignored"
}

@test "[46, 67] names, ids and references are never paths" {
    touch "$BATS_TEST_TMPDIR/victim"
    for name in .. . / ../x /etc/passwd ../../containers "$STORE/version" 'a/../b' $'a\nb' '' ' ' -x .hidden 'a/b' "$(printf 'x%.0s' $(seq 300))"; do
        run coracle run --rm --name "$name" busybox true
        [ "$status" != 0 ] || [ -z "$name" ] || fail "the name '$name' was taken"
        for command in inspect rm start logs stop kill wait "rename x" "exec"; do
            # shellcheck disable=SC2086
            run timeout "$HUNG" coracle ${command% x} "$name" ${command#rename} </dev/null
            [ "$status" != 0 ] && [ "$status" != 124 ] || [ "$command" = "rename x" ] || fail "$command '$name' worked"
        done
        run coracle tag busybox "$name"
        [ "$status" != 0 ] || [ "$name" = a/b ] || fail "the tag '$name' was taken"
        run timeout "$HUNG" coracle rmi "$name"
        [ "$status" != 0 ] || [ "$name" = a/b ] || fail "rmi '$name' worked"
    done
    for ref in "busybox@sha256:../../../../../etc/passwd" "busybox@sha256:$(printf '0%.0s' $(seq 63))/" "sha256:../x" "busybox:../x" "../busybox" "localhost:1/../../x"; do
        run timeout "$HUNG" coracle run --rm --pull never "$ref" true
        [ "$status" != 0 ] || fail "$ref worked"
    done
    [ -e "$STORE/version" ]
}
