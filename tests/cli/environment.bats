#!/usr/bin/env bats
# environment: homes, run directories, descriptors, masks and machines that are not as they should be.
load ../lib/common

file_setup() { image busybox; }
teardown() {
    coracle ps -aq | xargs -r coracle rm -f >/dev/null
    chmod -R u+w "$CTR_HOME/home" 2>/dev/null || true
}

ends() { timeout "$HUNG" "$@" >/dev/null 2>&1 || [ $? != 124 ] || fail "$* hangs"; }

works() { # the whole life of a container, with the given words before coracle
    local name=$(unique)
    assert_eq "$("$@" coracle run --rm busybox echo one)" one
    "$@" coracle run -d --name "$name" busybox sleep 1000 >/dev/null
    assert_eq "$("$@" coracle exec "$name" echo two)" two
    "$@" coracle ps --format '{{.Names}}' | grep -qx "$name" || fail "ps does not show it"
    "$@" coracle stop "$name" >/dev/null
    "$@" coracle rm "$name" >/dev/null
}

@test "no XDG_RUNTIME_DIR: a directory of the user's own under /tmp, 0700" {
    works env -u XDG_RUNTIME_DIR
    dir=/tmp/coracle-$(id -u)
    [ -d "$dir" ] && [ -O "$dir" ] || fail "no $dir"
    assert_eq "$(stat -c %a "$dir")" 700
}

@test "XDG_RUNTIME_DIR that cannot be written, does not exist, or is empty" {
    mkdir -m 555 "$BATS_TEST_TMPDIR/ro"
    works env XDG_RUNTIME_DIR="$BATS_TEST_TMPDIR/ro"
    works env XDG_RUNTIME_DIR=/no/such/dir
    works env XDG_RUNTIME_DIR=
    # one that belongs to somebody else, as after su
    works env XDG_RUNTIME_DIR=/
}

@test "HOME unset: the password file's home is taken" {
    run -0 env -u HOME coracle info --format '{{.DockerRootDir}}'
    [[ $output == "$(getent passwd "$(id -u)" | cut -d: -f6)"/* ]] || fail "not in the home of the password file"
}

@test "HOME that cannot be written: a clear error, and --root and CORACLE_ROOT go round it" {
    mkdir -p "$BATS_TEST_TMPDIR/home"
    chmod 555 "$BATS_TEST_TMPDIR/home"
    HOME=$BATS_TEST_TMPDIR/home run coracle run --rm --pull never busybox true
    assert_status 125
    assert_output_has "$BATS_TEST_TMPDIR/home"
    [[ $output == *"ermission denied"* || $output == *"read-only"* ]] || fail "no cause"
    assert_output_has hint
    HOME=$BATS_TEST_TMPDIR/home run -0 coracle --root "$STORE" run --rm busybox echo elsewhere
    assert_eq "$output" elsewhere
    CORACLE_ROOT=$STORE HOME=$BATS_TEST_TMPDIR/home run -0 coracle run --rm busybox echo elsewhere
    assert_eq "$output" elsewhere
    XDG_DATA_HOME=$HOME/.local/share HOME=$BATS_TEST_TMPDIR/home run -0 coracle run --rm busybox echo elsewhere
    assert_eq "$output" elsewhere
}

@test "a store that cannot be written can still be read" {
    coracle create --name readable busybox true >/dev/null
    chmod 555 "$STORE" "$STORE"/{containers,names,tmp,refs,images}
    run coracle ps -a --format '{{.Names}}'
    assert_status 0
    assert_output_has readable
    run -0 coracle images
    assert_output_has busybox
    run -0 coracle inspect -f '{{.Name}}' readable
    run coracle create --name nope busybox true
    assert_status 1
    assert_output_has denied
    chmod 755 "$STORE" "$STORE"/{containers,names,tmp,refs,images}
    coracle rm readable
}

@test "newuidmap is not in PATH: the error names it and the package" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    for p in bash cat ls; do ln -s "$(command -v $p)" "$BATS_TEST_TMPDIR/bin/"; done
    ln -s "$CORACLE_BIN"/* "$BATS_TEST_TMPDIR/bin/"
    PATH=$BATS_TEST_TMPDIR/bin XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR run "$CORACLE_BIN/coracle" run --rm busybox echo ran
    # either it finds newuidmap where distributions put it, or it says what is missing
    if [ "$status" = 0 ]; then assert_eq "$output" ran; else assert_output_has newuidmap && assert_output_has hint; fi
}

@test "no subordinate ids: the error says how to get them" {
    echo >"$BATS_TEST_TMPDIR/empty"
    unshare -Um true 2>/dev/null || skip "user namespaces inside are not allowed"
    # a mount namespace where /etc/subuid is empty; newuidmap has no rights in there either, as on a machine without it
    run unshare -Umc --keep-caps sh -c "mount --bind '$BATS_TEST_TMPDIR/empty' /etc/subuid && mount --bind '$BATS_TEST_TMPDIR/empty' /etc/subgid || exit 77; exec setpriv --inh-caps=-all --ambient-caps=-all env XDG_RUNTIME_DIR='$BATS_TEST_TMPDIR' coracle run --rm busybox true"
    [ "$status" != 77 ] || skip "mounting over /etc/subuid is not allowed"
    assert_status 125
    assert_output_has 'no subordinate user ids for user'
    assert_output_has 'usermod --add-subuids'
}

@test "umask 077 and umask 0: files of images and mounts are as they should be" {
    for mask in 077 000; do
        run -0 bash -c "umask $mask; coracle run --rm busybox sh -c 'umask; stat -c %a /etc/hosts /etc/resolv.conf /etc/hostname /dev /tmp'"
        assert_eq "$output" $'0022\n644\n644\n644\n755\n1777'
    done
    (umask 077 && coracle import "$(image_tar busybox)" masked >/dev/null)
    run -0 coracle run --rm -u alice masked sh -c 'cat /etc/passwd | wc -l; stat -c %a /etc /bin/busybox'
    assert_eq "${lines[1]}" 755
    (umask 0 && coracle create --name open busybox true >/dev/null)
    [ -z "$(find "$STORE/containers" -maxdepth 2 -name '*.json' -perm /077)" ] || fail "records are open to others"
    coracle rmi masked >/dev/null 2>&1 || true
}

@test "the store and the run directory are the user's alone" {
    coracle run -d --name private busybox sleep 1000 >/dev/null
    for d in "$STORE" "$XDG_RUNTIME_DIR/coracle"; do assert_eq "$(stat -c %a "$d")" 700; done
    assert_eq "$(find "$XDG_RUNTIME_DIR/coracle" -perm /077)" ""
}

@test "closed stdin, stdout and stderr, one and all" {
    for closed in '<&-' '>&-' '2>&-' '<&- >&-' '<&- 2>&-' '<&- >&- 2>&-'; do
        run timeout "$HUNG" bash -c "coracle run --rm -i busybox sh -c 'echo text; echo err >&2; exit 6' $closed"
        case $closed in
            *'>&-'*) [ "$status" != 124 ] || fail "it hangs with $closed" ;;
            *) assert_status 6 ;;
        esac
        run timeout "$HUNG" bash -c "coracle run -d --name closed busybox sleep 1000 $closed"
        [ "$status" != 124 ] || fail "it hangs with $closed"
        run timeout "$HUNG" bash -c "coracle exec closed sh -c 'ls -l /proc/self/fd' $closed"
        refute_output_has "$STORE"
        coracle rm -f closed >/dev/null 2>&1 || true
    done
    # nothing of ours was written into what took the place of a closed descriptor
    [ -z "$(find "$STORE" -newer "$BATS_TEST_TMPDIR" -name '*.json' -size 0)" ]
}

@test "descriptors of the caller reach neither the monitor nor the container" {
    exec 7<"$(image_tar busybox)" 8>"$BATS_TEST_TMPDIR/w"
    coracle run -d --name fds busybox sleep 1000 >/dev/null
    exec 7<&- 8>&-
    pid=$(coracle inspect -f '{{.State.Pid}}' fds)
    monitor=$(jq .monitor_pid "$STORE/containers/$(coracle inspect -f '{{.Id}}' fds)/state.json")
    run ls -l "/proc/$monitor/fd"
    refute_output_has "$BATS_TEST_TMPDIR/w"
    refute_output_has busybox.tar
    run -0 coracle exec fds ls -l /proc/1/fd
    refute_output_has busybox.tar
    refute_output_has "$BATS_TEST_TMPDIR"
}

@test "fuse-overlayfs and copying, forced by the configuration, give the same containers" {
    mkdir -p "$HOME/.config/coracle"
    for driver in overlay fuse-overlayfs copy; do
        if [ $driver = fuse-overlayfs ]; then command -v fuse-overlayfs >/dev/null && [ -w /dev/fuse ] || continue; fi
        echo "{\"storage-driver\":\"$driver\"}" >"$HOME/.config/coracle/config.json"
        run -0 coracle run --name drv busybox sh -c 'echo new >/root/f; rm /etc/group; cat /root/f; ls /etc/group 2>&1; id -u'
        assert_eq "$output" $'new\nls: /etc/group: No such file or directory\n0'
        # what was written is there again, with any driver that can see it
        run -0 coracle start -a drv
        assert_output_has new
        run -0 coracle run --rm busybox sh -c 'test -e /etc/group && ! test -e /root/f && echo clean'
        assert_eq "$output" clean
        case $driver in
            overlay) coracle run --rm busybox sh -c 'grep " / " /proc/mounts' | grep -q ' overlay ' ;;
            fuse-overlayfs) coracle run --rm busybox sh -c 'grep " / " /proc/mounts' | grep -q fuse ;;
        esac
        coracle rm drv
    done
    echo '{"storage-driver":"nosuch"}' >"$HOME/.config/coracle/config.json"
    run coracle run --rm busybox true
    rm "$HOME/.config/coracle/config.json"
    assert_status 125
    assert_output_has nosuch
}

@test "where neither overlay nor fuse-overlayfs is to be had each container gets a copy, and that is said once" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    for program in newuidmap newgidmap; do ln -s "$(command -v $program)" "$BATS_TEST_TMPDIR/bin"; done
    lacking() { PATH=$BATS_TEST_TMPDIR/bin "$(command -v coracle)" "$@"; }
    local driver
    driver=$(coracle info -f '{{.Driver}}')
    coracle run --rm --network none busybox true # tries it out
    sed -i 's/ yes$/ no/' "$XDG_RUNTIME_DIR"/coracle/overlay-*.*
    rm -f "$XDG_RUNTIME_DIR"/coracle/copies-*
    run -0 lacking run --rm --network none busybox echo first
    assert_eq "$output" "coracle: warning: each container gets a copy of its image's files: they cannot be mounted here"$'\nfirst'
    run -0 lacking run --rm --network none busybox echo second
    assert_eq "$output" second
    assert_eq "$(lacking info -f '{{.Driver}}')" vfs
    rm "$XDG_RUNTIME_DIR"/coracle/overlay-*.*
    assert_eq "$(coracle info -f '{{.Driver}}')" "$driver"
}

@test "a configuration that is no JSON is named with its place" {
    mkdir -p "$HOME/.config/coracle"
    echo '{"storage-driver":' >"$HOME/.config/coracle/config.json"
    run coracle ps
    rm "$HOME/.config/coracle/config.json"
    assert_status 1
    assert_output_has config.json
}

@test "proxies of docker's config.json reach containers and builds, below what the user says" {
    mkdir -p "$HOME/.docker"
    echo '{"proxies":{"default":{"httpProxy":"http://proxy.example:3128","noProxy":"internal"}}}' >"$HOME/.docker/config.json"
    run -0 coracle run --rm -e HTTP_PROXY=mine -e no_proxy busybox env
    assert_output_has HTTP_PROXY=mine
    assert_output_has http_proxy=http://proxy.example:3128
    assert_output_has NO_PROXY=internal
    refute_output_has no_proxy=
    coracle create --name proxied busybox true
    run -0 coracle inspect -f '{{json .Config.Env}}' proxied
    assert_output_has '"HTTP_PROXY=http://proxy.example:3128"'
    coracle rm proxied
    run -0 coracle build -t proxied - <<<$'FROM busybox\nRUN env >/seen'
    refute_output_has consumed
    echo '{}' >"$HOME/.docker/config.json"
    run -0 coracle run --rm proxied grep -i proxy /seen
    assert_output_has http_proxy=http://proxy.example:3128
    run -0 coracle inspect -f '{{json .Config.Env}}' proxied
    refute_output_has proxy.example
    echo '{"proxies":' >"$HOME/.docker/config.json"
    run -0 coracle run --rm busybox echo ran
    rm "$HOME/.docker/config.json"
    assert_output_has "WARNING: Error loading config file"
    assert_output_has ran
    coracle rmi proxied
}

@test "an image of 60 layers runs, and shows each of them" {
    dir=$BATS_TEST_TMPDIR
    image_tar busybox >/dev/null
    python3 - "$(image_tar busybox)" "$dir/deep.tar" <<'P'
import hashlib, io, json, sys, tarfile
base = open(sys.argv[1], "rb").read()
layers = [base]
for i in range(1, 60):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as t:
        for name, text in ((f"layer-{i}", str(i)), ("top", str(i))):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            t.addfile(info, io.BytesIO(text.encode()))
        if i > 1:
            t.addfile(tarfile.TarInfo(f".wh.layer-{i - 1}") if i % 2 else tarfile.TarInfo(f"empty-{i}"))
    layers.append(b.getvalue())
config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
                     "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(l).hexdigest() for l in layers]}}).encode()
name = hashlib.sha256(config).hexdigest() + ".json"
with tarfile.open(sys.argv[2], "w") as t:
    def add(n, data):
        info = tarfile.TarInfo(n)
        info.size = len(data)
        t.addfile(info, io.BytesIO(data))
    for i, l in enumerate(layers):
        add(f"l{i}.tar", l)
    add(name, config)
    add("manifest.json", json.dumps([{"Config": name, "RepoTags": ["deep:latest"], "Layers": [f"l{i}.tar" for i in range(60)]}]).encode())
P
    [ "$(uname -m)" = x86_64 ] || skip "the image is for x86_64"
    coracle load -i "$dir/deep.tar" >/dev/null
    run -0 coracle run --rm deep sh -c 'cat /top; echo; ls / | grep -c ^layer-; ls /layer-58 /layer-2 2>&1; true'
    assert_output_has 59
    assert_output_has 'ls: /layer-58: No such file or directory'
    assert_output_has 'ls: /layer-2: No such file or directory'
    coracle rmi deep >/dev/null
}

@test "a container cannot overwrite the program that enters it, also where the user owns the program (CVE-2019-5736)" {
    cp -r "$CORACLE_BIN" "$BATS_TEST_TMPDIR/bin"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH
    sums=$(cd "$BATS_TEST_TMPDIR/bin" && sha256sum *)
    # the program of an exec is the runtime itself, or the container's root tries every process it sees
    coracle run -d --name evil --cap-add SYS_PTRACE busybox sh -c '
        printf "#!/proc/self/exe\n" >/bin/again; chmod +x /bin/again
        touch /root/ready
        while :; do for p in /proc/[0-9]*; do case $p in /proc/1|/proc/$$) ;; *) (echo overwritten >$p/exe) 2>/dev/null && echo "wrote $p" >>/root/wrote; esac; done; done' >/dev/null
    wait_for coracle exec evil test -e /root/ready
    for i in $(seq 50); do coracle exec evil true 2>/dev/null || fail "exec $i"; done
    for i in $(seq 10); do ends coracle exec evil /bin/again; done
    ends coracle run --rm busybox /proc/self/exe
    assert_eq "$(cd "$BATS_TEST_TMPDIR/bin" && sha256sum *)" "$sums"
    coracle exec evil sh -c '[ ! -e /root/wrote ] || cat /root/wrote' >"$BATS_TEST_TMPDIR/wrote"
    ! grep -q coracle "$BATS_TEST_TMPDIR/wrote"
    # the same with the image's entrypoint being a link to the program that starts it
    coracle run -d --name evil2 busybox sh -c 'ln -s /proc/self/exe /bin/link; touch /root/ready; sleep 1000' >/dev/null
    wait_for coracle exec evil2 test -e /root/ready
    for i in $(seq 10); do ends coracle exec evil2 /bin/link --version; done
    assert_eq "$(cd "$BATS_TEST_TMPDIR/bin" && sha256sum *)" "$sums"
}

@test "works from a directory that was deleted, and from one that is not readable" {
    mkdir "$BATS_TEST_TMPDIR/gone" "$BATS_TEST_TMPDIR/closed"
    run -0 bash -c "cd '$BATS_TEST_TMPDIR/gone' && rmdir '$BATS_TEST_TMPDIR/gone' && coracle run --rm busybox echo ok"
    assert_output_has ok
    run -0 bash -c "cd '$BATS_TEST_TMPDIR/closed' && chmod 000 . && coracle run --rm busybox echo ok; chmod 700 '$BATS_TEST_TMPDIR/closed'"
    assert_output_has ok
}

@test "an environment with nothing in it but PATH" {
    run -0 env -i PATH="$PATH" HOME="$HOME" coracle run --rm busybox sh -c 'echo $HOME; env | wc -l'
    [ "${lines[0]}" = /root ]
}

@test "a full process table of the user's limits is an error, not a hang" {
    run timeout "$HUNG" bash -c 'ulimit -n 12; coracle run --rm busybox echo few'
    [ "$status" != 124 ] || fail "it hangs"
    [ "$status" = 0 ] || assert_output_has coracle
    run -0 coracle run --rm busybox echo after
    assert_output_has after
}
