#!/usr/bin/env bats
# SELinux where it is enforced: labels of containers, and that they hold. Every file here may be read by everybody as far as modes and ids
# go: what is refused, the policy refuses. Needs a policy with the types that lxc_contexts names, which root, who has no password here,
# loads where the distribution has none (container.cil), and a session at level s0: such a policy may keep a container from the pipes of one
# at s0-s0:c0.c1023.
load ../lib/common
as_root() { su root -c "PATH=/usr/sbin:/usr/bin:/sbin:/bin; $1" </dev/null; }
enforced() { [ "$(cat /sys/fs/selinux/enforce 2>/dev/null)" = 1 ]; }
# by the kernel: a write of a context that the policy does not have is an error
known() { printf '%s\0' "$1" 2>/dev/null >/sys/fs/selinux/context; }
types_known() { known system_u:system_r:container_t:s0 && known system_u:object_r:container_ro_file_t:s0; }
session_level() { tr -d '\0' </proc/self/attr/current | cut -d: -f4-; }

PROCESS=system_u:system_r:container_t FILE=system_u:object_r:container_file_t
file_setup() {
    enforced || return 0
    types_known || as_root "semodule -i $TESTS_DIR/vm/container.cil" || true
    image busybox
    configure '{"selinux-enabled": true}'
}
configure() { mkdir -p "$HOME/.config/coracle" && echo "$1" >"$HOME/.config/coracle/config.json"; }
setup() {
    enforced || skip "no SELinux that enforces"
    types_known || skip "the policy has no types for containers, and root cannot load them"
    [ "$(session_level)" = s0 ] || skip "the session is not at level s0 but $(session_level)"
}
quick() { coracle run --rm --network none "$@"; }
label_of() { stat -c %C "$1"; }
# given DIR: a directory with a file that everybody may read and write
given() { mkdir -p "$1" && echo inside >"$1/file" && chmod -R a+rwX "$1"; }

@test "a container has a label of its own, in run, exec and inspect, and another container has another" {
    local label mount other
    coracle run -d --name one --network none busybox sleep 1000
    coracle run -d --name two --network none --init --security-opt no-new-privileges busybox sleep 1000
    label=$(coracle inspect -f '{{.ProcessLabel}}' one) mount=$(coracle inspect -f '{{.MountLabel}}' one)
    other=$(coracle inspect -f '{{.ProcessLabel}}' two)
    [[ $label =~ ^$PROCESS:s0:c[0-9]+,c[0-9]+$ ]] || fail "$label"
    assert_eq "$mount" "$FILE:${label#"$PROCESS":}"
    [ "$other" != "$label" ] || fail "two with one label"
    assert_eq "$(coracle exec one cat /proc/1/attr/current /proc/self/attr/current | tr -d '\0')" "$label$label"
    assert_eq "$(coracle exec --privileged one cat /proc/self/attr/current | tr -d '\0')" "$label"
    assert_eq "$(coracle exec two cat /proc/1/attr/current | tr -d '\0')" "$other" # coracle-init
    assert_eq "$(quick --pid container:one busybox cat /proc/self/attr/current | tr -d '\0')" "$label"
    run coracle create --pid container:one --ipc container:two busybox
    assert_output_has "--ipc and --pid containers SELinux labels aren't the same"
    coracle restart -t 0 one
    assert_eq "$(coracle exec one cat /proc/1/attr/current | tr -d '\0')" "$label"
    coracle rm -f one two
    assert_eq "$(coracle info -f '{{join .SecurityOptions " "}}')" "name=seccomp,profile=builtin name=rootless name=selinux"
}

@test "--security-opt label: parts of it, none, and what takes it away" {
    local mine
    mine=$(tr -d '\0' </proc/self/attr/current)
    current() { quick "$@" busybox cat /proc/self/attr/current | tr -d '\0'; }
    assert_eq "$(current --security-opt label=level:s0:c7,c8)" "$PROCESS:s0:c7,c8"
    assert_eq "$(current --security-opt label=disable)" "$mine"
    assert_eq "$(current --privileged)" "$mine"
    assert_eq "$(current --pid host)" "$mine"
    assert_eq "$(current --privileged --security-opt label=level:s0:c9)" "$PROCESS:s0:c9"
    run quick --security-opt label=type:no_such_t busybox true
    [ "$status" != 0 ] || fail "a type that is not there was taken"
    assert_output_has "the policy of this machine does not know that label"
    run coracle create --security-opt label=nested busybox
    assert_output_has "label=nested"
    configure '{}'
    assert_eq "$(current)" "$mine"
    assert_eq "$(current --security-opt label=type:container_t --security-opt label=level:s0:c5)" "$PROCESS:s0:c5"
    configure '{"selinux-enabled": true}'
}

@test "the files of a container: its root, its file systems, a terminal" {
    run -0 quick --tmpfs /t --shm-size 1m busybox sh -c 'set -e; for f in /x /tmp/x /t/x /dev/shm/x /etc/hosts; do echo y >>$f; cat $f; done
        cp /bin/busybox /tmp/true; /tmp/true; cat /etc/resolv.conf /etc/hostname; ls /proc/acpi /sys/firmware; mount'
    assert_output_has "context=\"$FILE:s0:c"
    run -0 quick --read-only busybox sh -c 'echo y >/dev/shm/x; ! echo y >/x'
    run -0 quick -t busybox sh -c 'tty; echo y >/dev/pts/0; echo y >/dev/console; cat /proc/self/attr/current'
    assert_output_has /dev/pts/0
    assert_output_has "$PROCESS:s0:c"
    run -0 quick --mount type=image,src=busybox,dst=/image --userns auto busybox /image/bin/busybox cat /proc/self/attr/current
    assert_output_has "$PROCESS:s0:c"
}

@test "a directory of the user's: refused, :z for all containers, :Z for one, and never more than was said" {
    local d=$HOME/given
    given "$d"
    mkdir "$HOME/outside" && echo mine >"$HOME/outside/file"
    ln -s ../outside/file "$d/link" && ln -s ../outside "$d/dir"
    run quick -v "$d:/d" busybox cat /d/file
    assert_status 1
    assert_output_has "Permission denied"
    assert_eq "$(quick -v "$d:/d" --security-opt label=disable busybox cat /d/file)" inside
    run -0 quick -v "$d:/d:z" busybox sh -c 'cat /d/file && echo of-one >/d/new'
    assert_eq "$(label_of "$d/file") $(label_of "$d/new")" "$FILE:s0 $FILE:s0"
    assert_eq "$(label_of "$d/link")" "$FILE:s0"
    [[ $(label_of "$HOME/outside/file") != *container* ]] || fail "a link was followed"
    assert_eq "$(quick -v "$d:/d" busybox cat /d/new)" of-one
    coracle run -d --name owner --network none --mount "type=bind,src=$d,dst=/d,relabel=private" busybox sleep 1000
    assert_eq "$(coracle exec owner cat /d/file)" inside
    assert_eq "$(label_of "$d/file")" "$(coracle inspect -f '{{.MountLabel}}' owner)"
    run quick -v "$d:/d" busybox cat /d/file
    assert_output_has "Permission denied"
    run quick -v "$d:/d" --user 0 --cap-add ALL busybox cat /d/file
    assert_output_has "Permission denied"
    coracle rm -f owner
    ln -s "$HOME" "$HOME/home"
    local source
    for source in / /usr /var/lib "$HOME" "$HOME/home" "$(dirname "$HOME")" "$HOME/.local" "$STORE" "$XDG_RUNTIME_DIR"; do
        run quick -v "$source:/d:z" busybox true
        [ "$status" != 0 ] || fail "$source was relabelled"
        assert_output_has "is not allowed"
    done
    [[ $(label_of "$HOME") != *container* ]] || fail "the home directory was relabelled"
}

@test "volumes: shared by containers, with the image's files; Z makes one private" {
    run -0 quick -v shared:/bin busybox sh -c 'echo one >/bin/made && cat /bin/made'
    run -0 quick -v shared:/v busybox sh -c 'cat /v/made && echo two >/v/made && /v/busybox true'
    assert_output_has one
    assert_eq "$(label_of "$STORE/volumes/shared/_data/made")" "$FILE:s0"
    coracle run -d --name keeper --network none -v shared:/v:Z busybox sleep 1000
    assert_eq "$(coracle exec keeper cat /v/made)" two
    assert_eq "$(label_of "$STORE/volumes/shared/_data/made")" "$(coracle inspect -f '{{.MountLabel}}' keeper)"
    coracle rm -f keeper
    coracle volume rm shared
    echo hidden | coracle secret create key - >/dev/null
    run -0 quick --secret key,mode=0444 busybox cat /run/secrets/key
    assert_output_has hidden
}

@test "a build's commands have a label, and their caches and secrets" {
    mkdir "$HOME/context" && echo hidden >"$HOME/context/secret"
    printf '%s\n' 'FROM busybox' 'RUN --mount=type=cache,target=/c cat /proc/self/attr/current && echo kept >/c/file' \
        'RUN --mount=type=cache,target=/c --mount=type=secret,id=s cat /c/file /run/secrets/s >/result' >"$HOME/context/Dockerfile"
    run -0 coracle build --progress plain --network none --secret "id=s,src=$HOME/context/secret" -t built "$HOME/context"
    assert_output_has "$PROCESS:s0:c"
    assert_eq "$(quick built cat /result)" "kept
hidden"
}

@test "the copy driver: the copy is relabelled" {
    configure '{"selinux-enabled": true, "storage-driver": "copy"}'
    coracle run -d --name copied --network none busybox sleep 1000
    run -0 coracle exec copied sh -c 'echo y >/x && cat /x && cat /proc/self/attr/current'
    assert_output_has "$PROCESS:s0:c"
    coracle rm -f copied
    configure '{"selinux-enabled": true}'
}

@test "coracle-runtime: a bundle's selinuxLabel and mountLabel" {
    local b=$HOME/bundle
    mkdir -p "$b/rootfs/dev" "$b/rootfs/proc" && tar -xf "$(image_tar busybox)" -C "$b/rootfs"
    chcon -R "$FILE:s0:c1,c2" "$b/rootfs"
    cat >"$b/config.json" <<JSON
{"ociVersion":"1.0.2","root":{"path":"rootfs"},
 "process":{"user":{"uid":0,"gid":0},"args":["sh","-c","cat /proc/self/attr/current && echo y >/dev/x && cat /dev/x /proc/mounts"],"env":["PATH=/bin"],"cwd":"/","selinuxLabel":"$PROCESS:s0:c1,c2"},
 "mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","mode=755"]}],
 "linux":{"mountLabel":"$FILE:s0:c1,c2","namespaces":[{"type":"pid"},{"type":"mount"},{"type":"user"}],
  "uidMappings":[{"containerID":0,"hostID":$(id -u),"size":1}],"gidMappings":[{"containerID":0,"hostID":$(id -g),"size":1}]}}
JSON
    run -0 coracle-runtime --root "$HOME/runtime" run --bundle "$b" labelled
    assert_output_has "$PROCESS:s0:c1,c2"
    assert_output_has "context=\"$FILE:s0:c1,c2\""
    coracle-runtime features | jq -e '.linux.selinux.enabled'
}
