#!/usr/bin/env bats
# Mounts beside volumes: images, overlays over directories, attributes, and paths with everything in them that a path may have.
load ../lib/common

setup() {
    T=$BATS_TEST_TMPDIR
    cd "$T"
    image busybox >/dev/null
}
in_box() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    coracle run --rm --network none "${options[@]}" busybox sh -c "$2"
}
# an image of two layers; the second hides a file of the first
two_layers() {
    coracle images -q twolayers | grep -q . && return
    coracle run --name one --network none busybox sh -c 'mkdir -p /d/sub && echo 1 >/d/one && echo gone >/d/gone && chown -R 5:6 /d && chmod 750 /d'
    coracle commit one onelayer >/dev/null
    coracle run --name two --network none onelayer sh -c 'rm /d/gone; echo 2 >/d/two'
    coracle commit two twolayers >/dev/null
    coracle rm one two >/dev/null
}
configure() {
    mkdir -p "$HOME/.config/coracle"
    echo "$1" >"$HOME/.config/coracle/config.json"
}
teardown() { rm -f "$HOME/.config/coracle/config.json"; }

# images: read-only, in part, writable, kept from removal
image_mounts() {
    local look='cd /i/d && stat -c %u:%g:%a . && ls && cat one two'
    assert_eq "$(in_box --mount type=image,source=twolayers,dst=/i -- "$look")" $'5:6:750\none\nsub\ntwo\n1\n2'
    run in_box --mount type=image,source=twolayers,target=/i -- 'touch /i/d/new'
    assert_output_has "Read-only file system"
    assert_eq "$(in_box --mount type=image,src=twolayers,dst=/i,image-subpath=d/one -- 'cat /i')" 1
    coracle run --name rw --network none --mount type=image,src=twolayers,dst=/i,subpath=d,rw busybox sh -c 'cat /i/new 2>/dev/null; echo x >/i/new; echo y >>/i/one; cat /i/new /i/one'
    # what was written is gone at the next start
    assert_eq "$(coracle start -a rw)" $'x\n1\ny'
    coracle rm rw >/dev/null
}

@test "--mount type=image, by each driver" {
    two_layers
    image_mounts
    configure '{"storage-driver":"copy"}'
    image_mounts
    if [ -c /dev/fuse ] && [ -w /dev/fuse ] && command -v fuse-overlayfs >/dev/null; then
        configure '{"storage-driver":"fuse-overlayfs"}'
        image_mounts
    fi
}

@test "an image that is mounted somewhere is not removed" {
    two_layers
    coracle tag twolayers mounted:1
    coracle rmi twolayers >/dev/null
    coracle create --name user --network none --mount type=image,src=mounted:1,dst=/i busybox cat /i/d/two >/dev/null
    run -1 coracle rmi mounted:1
    assert_output_has "is using its referenced image"
    # by force the name goes; the layers stay while a container has them
    coracle rmi -f mounted:1 >/dev/null
    coracle rmi -f onelayer >/dev/null 2>&1 || true
    assert_eq "$(coracle start -a user)" 2
    assert_eq "$(coracle inspect user -f '{{(index .Mounts 0).Type}} {{(index .Mounts 0).RW}} {{(index .HostConfig.Mounts 0).Source}}')" "image false mounted:1"
    coracle rm user >/dev/null
    run -125 in_box --mount type=image,src=mounted:1,dst=/i -- true
    assert_output_has 'invalid mount config for type "image": no such image: mounted:1'
    run -125 in_box --mount type=image,src=busybox,dst=/i,image-subpath=../etc -- true
    assert_output_has "subpath must be a relative path within the image"
    run -125 in_box --mount type=image,src=busybox,dst=/i,image-subpath=nowhere -- true
    assert_output_has "cannot access path nowhere"
    run -125 in_box --mount type=cluster,src=busybox,dst=/i -- true
}

@test "-v DIR:PATH:O: the directory is not changed" {
    mkdir src up work
    echo low >src/f
    chmod 751 src
    coracle run --name over --network none -v "$T/src:/o:O" busybox sh -c 'stat -c %a /o; cat /o/f; ls /o; echo more >>/o/f; touch /o/new; rm /o/f'
    assert_eq "$(coracle start -a over)" $'751\nlow\nf'
    coracle rm over >/dev/null
    assert_eq "$(cat src/f; ls src)" $'low\nf'
    in_box -v "$T/src:/o:O,upperdir=$T/up,workdir=$T/work" -- 'echo kept >/o/new'
    assert_eq "$(cat up/new)" kept
    assert_eq "$(in_box -v "$T/src:/o:O,upperdir=$T/up,workdir=$T/work" -- 'cat /o/f /o/new')" $'low\nkept'
    chmod -R u+rwx work # overlay's own, which bats could not remove
    in_box -v base:/v -- 'echo v >/v/f'
    assert_eq "$(in_box -v base:/v:O -- 'echo w >>/v/f; cat /v/f')" $'v\nw'
    assert_eq "$(in_box -v base:/v -- 'cat /v/f')" v
    coracle volume rm base >/dev/null
    run -125 in_box -v "$T/src/f:/o:O" -- true
    assert_output_has "is not a directory"
    configure '{"storage-driver":"copy"}'
    assert_eq "$(in_box -v "$T/src:/o:O" -- 'echo more >>/o/f; cat /o/f')" $'low\nmore'
    assert_eq "$(cat src/f)" low
}

@test "U: the source is given to the container's user, and nothing that a link leads to" {
    mkdir -p src/sub other && echo x >src/sub/f && echo y >other/kept && ln -s ../../other src/sub/out && ln -s /etc/passwd src/abs && echo one >file
    owner() { coracle unshare stat -c %u:%g "$@" | paste -sd ' '; }
    assert_eq "$(in_box --user 5:6 -v "$T/src:/m:U" -- 'stat -c %u:%g /m /m/sub /m/sub/f /m/sub/out | paste -sd " "; echo more >>/m/sub/f')" "5:6 5:6 5:6 5:6"
    assert_eq "$(owner other other/kept src/abs)" "0:0 0:0 5:6"
    # names are the image's; a single file; --mount's two words for it
    in_box --user nobody --mount "type=bind,src=$T/src,dst=/m,U=true" --mount "type=bind,src=$T/file,dst=/f,chown" -- 'echo two >>/f && rm /m/abs'
    assert_eq "$(owner src src/sub/f file)" "$(in_box -- 'u=$(id -u nobody):$(id -g nobody); echo $u $u $u')"
    # once, before the first start: what the container changes stays
    coracle run --name once --network none --user 0 -v "$T/src:/m:U" busybox sh -c 'chown 9:9 /m/sub'
    coracle start -a once
    assert_eq "$(owner src src/sub src/sub/f)" "0:0 9:9 0:0"
    coracle rm once >/dev/null
    # with ids of its own, in a volume with what the image put there, in a part of one, in memory
    assert_eq "$(in_box --userns keep-id:uid=7,gid=8 -v "$T/src:/m:U" -- 'stat -c %u:%g /m/sub')" 7:8
    assert_eq "$(owner src/sub)" 0:0
    assert_eq "$(in_box --userns nomap --user 3:4 -v "$T/src:/m:U" -- 'stat -c %u:%g /m/sub')" 3:4
    assert_eq "$(in_box --user 5 -v owned:/etc:U -- 'stat -c %u:%g /etc /etc/passwd | paste -sd " "')" "5:0 5:0"
    in_box --user 6:6 --mount type=volume,src=owned,dst=/m,volume-subpath=passwd,U -- true
    assert_eq "$(in_box -v owned:/m -- 'stat -c %u:%g /m /m/passwd | paste -sd " "')" "5:0 6:6"
    assert_eq "$(in_box --user 5:6 --mount type=tmpfs,dst=/m,U --tmpfs /n:U,mode=700 -- 'stat -c %u:%g /m /n | paste -sd " "')" "5:6 5:6"
    coracle volume rm owned >/dev/null
    # what is not to be given away, and what cannot be
    for source in "$HOME" "$HOME/.local" "$STORE" "$CTR_HOME" "$XDG_RUNTIME_DIR" /tmp; do
        run -125 in_box -v "$source:/m:U" -- true
        assert_output_has "$source is not given to a container's user"
    done
    run -125 in_box --mount type=image,src=busybox,dst=/m,U -- true
    assert_output_has "cannot mix 'chown' with mount type 'image'"
    run in_box --user 5:6 -v "/usr/share:/m:U" -- true
    assert_output_has "only what belongs to you or to your subordinate ids"
    coracle unshare chown -R 0:0 src file
}

@test "attributes, and a source that is not there" {
    mkdir src
    options() { in_box "$@" -- 'grep " /m " /proc/mounts | cut -d" " -f4 | tr , "\n" | grep -xE "ro|rw|noexec|nosuid|nodev" | sort | tr "\n" " "'; }
    assert_eq "$(options -v "$T/src:/m:ro,noexec,nosuid,nodev,cached,z")" "nodev noexec nosuid ro "
    assert_eq "$(options --mount "type=bind,src=$T/src,dst=/m,readonly,noexec,relabel=shared" | tr ' ' '\n' | grep -cx -e ro -e noexec)" 2
    assert_eq "$(options --mount "type=volume,src=attrs,dst=/m,noexec,consistency=cached,volume-label=a=b" | tr ' ' '\n' | grep -cx -e rw -e noexec)" 2
    assert_eq "$(coracle volume inspect attrs -f '{{.Labels.a}}')" b
    coracle volume rm attrs >/dev/null
    in_box -v "$T/made/by:/m" -- true
    [ -d made/by ]
    run -125 in_box --mount "type=bind,src=$T/not/made,dst=/m" -- true
    assert_output_has "bind source path does not exist: $T/not/made"
    [ ! -e not ]
    in_box --mount "type=bind,src=$T/asked/for,dst=/m,bind-create-src" -- true
    [ -d asked/for ]
}

@test "paths with commas, colons, quotes, spaces, other scripts and newlines" {
    local dir=$'a,b:c "q" Ωñ\nline' at=$'/in, here: "x" \n é'
    mkdir "$dir"
    echo found >"$dir/f"
    assert_eq "$(in_box --mount "type=bind,\"src=$T/${dir//\"/\"\"}\",\"dst=${at//\"/\"\"}\"" -- "cat '$at/f'")" found
    dir=$'no colon, "q" Ωñ\nline'
    mkdir "$dir"
    echo other >"$dir/f"
    assert_eq "$(in_box -v "$T/$dir:/in \"x\", é:ro" -- 'cat "/in \"x\", é/f"')" other
    assert_eq "$(in_box -v "$T/$dir:/o:O" -- 'echo x >>/o/f; cat /o/f')" $'other\nx'
    id=$(coracle create --name names --network none --mount "type=bind,\"src=$T/${dir//\"/\"\"}\",\"dst=${at//\"/\"\"}\"" busybox true)
    assert_eq "$(coracle inspect "$id" -f '{{(index .Mounts 0).Source}}')" "$T/$dir"
    coracle rm names >/dev/null
}

fuse_pids() {
    local p
    for p in /proc/[0-9]*; do
        [ "$(cat "$p/comm" 2>/dev/null)" = fuse-overlayfs ] && grep -qF "$STORE" "$p/cmdline" 2>/dev/null && echo "${p#/proc/}"
    done
    return 0
}

@test "fuse-overlayfs is killed: so is the container, and it is said why" {
    { [ -w /dev/fuse ] && command -v fuse-overlayfs >/dev/null; } || skip "no fuse-overlayfs here"
    configure '{"storage-driver":"fuse-overlayfs"}'
    coracle run -d --name served --network none --mount type=image,src=busybox,dst=/i busybox sleep 1000 >/dev/null
    assert_eq "$(fuse_pids | wc -l)" 2
    # who is using the files at that moment does not wait for ever, neither in the container nor in front of it
    coracle exec served sh -c 'echo x >/there; while :; do cat /i/bin/busybox /there >/dev/null; done' >/dev/null 2>&1 3>&- &
    user=$!
    wait_for coracle exec served test -e /there
    timeout "$(patience 60)" coracle attach --no-stdin served 3>&- &
    watcher=$!
    attached() { [ -n "$(coracle events --since 1h --until 0s -f event=attach -f container=served)" ]; }
    wait_for attached
    kill -9 "$(fuse_pids | head -1)"
    assert_eq "$(coracle wait served)" 137
    for waits in "$user" "$watcher"; do
        code=0
        wait "$waits" || code=$?
        assert_eq "$code" 137
    done
    assert_eq "$(coracle cp served:/there - | tar -xOf -)" x
    assert_eq "$(coracle cp served:/there - | tar -xOf -)" x # the program of the last one has gone, or goes
    assert_eq "$(coracle inspect served -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}')" \
        "exited 137 fuse-overlayfs has ended, which served the container's files: the container was killed"
    coracle logs served 2>&1 | grep -q "fuse-overlayfs has ended"
    no_fuse() { [ -z "$(fuse_pids)" ]; }
    wait_for no_fuse
    # it can start again, and an end of its own is no accident
    coracle start served >/dev/null
    coracle kill served >/dev/null
    coracle wait served
    assert_eq "$(coracle inspect served -f '{{.State.ExitCode}}{{.State.Error}}')" 137
    coracle rm served >/dev/null
}
