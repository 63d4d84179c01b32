# images.bash: what the suites about images and registries share, beside common.bash and registry.bash.
#
#   layout NAME [mklayout options]   an OCI layout (see mklayout.py) in $CTR_HOME/layouts/NAME; prints its path
#   static_start NAME [options]      a staticregistry.py over $CTR_HOME/static/NAME; its address is then in $REGISTRY
#   static_log NAME                  its log, when it has answered all requests;  static_reset NAME  empties it
#   store_is_clean                   nothing in tmp, no partial blob, no layer or blob without an image
#   store_settles                    waits until the collector that a command leaves behind has done its work, and tmp is empty
#   image_ids                        the ids of all images, sorted
#   no_images                        removes all images, and waits until their layers and blobs are gone too
#   tree DIR                         a directory as text: kinds, modes, owners, times, links, xattrs, contents (tree.py),
#                                    seen from inside a user namespace with the caller's subordinate ids
#   layer_dir IMAGE N                where the store has layer N (from 0) of an image
#   debian_tar                       the root file system of a small Debian (mmdebstrap), made once for a machine and user
#   nested SETUP SCRIPT              runs SCRIPT as an unprivileged user (tester, uid 1000) of a user namespace, after SETUP ran
#                                    as its root: for full disks, other /etc files, missing subordinate ids. Both are bash texts.
#                                    $D is a directory of tester's, $D/disk an empty mount point

images_dir() { mkdir -p "$CTR_HOME/layouts" && echo "$CTR_HOME/layouts/$1"; }

layout() {
    local dir
    dir=$(images_dir "$1")
    shift
    [ -e "$dir/index.json" ] || python3 "$TESTS_DIR/lib/mklayout.py" "$dir" latest "$@"
    echo "$dir"
}

static_start() {
    _registry_home
    local name=$1 d=$CTR_HOME/static/$1 port
    shift
    mkdir -p "$d" "$REGISTRY_BASE/static-$name"
    : >"$REGISTRY_BASE/static-$name/out" # one of the same name may have been here before
    python3 "$TESTS_DIR/lib/staticregistry.py" "$d" "$@" >"$REGISTRY_BASE/static-$name/out" 2>&1 3>&- &
    echo $! >"$REGISTRY_BASE/static-$name/pid"
    port=$(_registry_wait "$REGISTRY_BASE/static-$name/out" 'listening on [0-9]+' "$!") || return 1
    REGISTRY=localhost:$port
    echo "$REGISTRY" >"$REGISTRY_BASE/static-$name/addr"
}
static_quiet() { curl -sf --noproxy '*' --max-time 30 "http://$(registry_addr "static-$1")/_quiet"; }
static_log() { static_quiet "$1" && cat "$CTR_HOME/static/$1/log" 2>/dev/null; }
static_reset() { static_quiet "$1" && : >"$CTR_HOME/static/$1/log"; }

tmp_is_empty() { [ -z "$(ls -A "${CORACLE_ROOT:-$STORE}/tmp" 2>/dev/null)" ]; }
# A collector that has not begun yet is not to be seen by what it does. It is a coracle of this file's store that is no child of the
# test's own shell, as those are that a test has put into the background.
nothing_collects() {
    local f comm stat
    for f in /proc/[0-9]*/comm; do
        [ -O "$f" ] && { read -r comm <"$f" && [ "$comm" = coracle ] && read -r stat <"${f%comm}stat"; } 2>/dev/null || continue
        read -r comm stat _ <<<"${stat##*) }" # its state and parent
        [ "$comm" = Z ] || [ "$stat" = $$ ] || ! grep -qzF "$CTR_HOME" "${f%comm}environ" 2>/dev/null || return 1
    done
}
settled() { nothing_collects && tmp_is_empty; }
store_settles() { wait_for settled || fail "debris, or a collector that does not end: $(ls -la "$STORE/tmp")"; }
image_ids() { coracle images -q --no-trunc | sort -u; }

nothing_stored() { [ -z "$(find "$STORE/layers" "$STORE/blobs/sha256" -mindepth 1 -maxdepth 1 2>/dev/null | grep -E '/[0-9a-f]{64}$')" ]; }
no_images() {
    local ids
    ids=$(image_ids)
    if [ -n "$ids" ]; then
        coracle rmi -f $ids >/dev/null || return 1
    elif ! nothing_stored; then
        # what failed pulls have brought is nobody's, and goes with the next removal
        tar -cf - --files-from /dev/null | coracle import - sweep:1 >/dev/null && coracle rmi sweep:1 >/dev/null || return 1
    fi
    wait_for nothing_stored || fail "left: $(ls "$STORE/layers" "$STORE/blobs/sha256")"
}

# What the records of images name, and what is there.
store_is_clean() {
    store_settles || return 1
    assert_eq "$(ls -A "$STORE/blobs/partial")" "" || return 1
    local want have
    want=$(cat "$STORE"/images/*.json 2>/dev/null | grep -oE '[0-9a-f]{64}' | sort -u)
    have=$(find "$STORE/layers" "$STORE/blobs/sha256" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -xE '[0-9a-f]{64}' | sort -u)
    assert_eq "$(comm -13 <(echo "$want") <(echo "$have"))" ""
}

tree() { unshare --map-auto --map-root-user python3 "$TESTS_DIR/lib/tree.py" "$@"; }

layer_dir() {
    local chain
    chain=$(python3 - "$1" "$2" <<'P'
import hashlib, json, subprocess, sys
ids = json.loads(subprocess.check_output(["coracle", "image", "inspect", sys.argv[1]]))[0]["RootFS"]["Layers"][:int(sys.argv[2]) + 1]
chain = ids[0]
for d in ids[1:]:
    chain = "sha256:" + hashlib.sha256((chain + " " + d).encode()).hexdigest()
print(chain[7:])
P
    )
    echo "$STORE/layers/$chain/diff"
}

codename() { (. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}"); }

# A small image of this machine's own release, for that one's mirror and keys are there.
debian_tar() {
    local cache=${CORACLE_TEST_CACHE:-/tmp/coracle-test-cache-$(id -u)} part
    mkdir -p "$cache"
    if [ ! -e "$cache/debian.tar" ]; then
        part=$cache/part.$$.tar
        # the shell of its hooks cannot write to descriptors above 9, which it gets where bats has taken those below
        TMPDIR=/tmp mmdebstrap --quiet --mode=unshare --variant=essential --include=apt,passwd,login \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' --aptopt='Acquire::Retries "3"' "$(codename)" "$part" >&2 \
            3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- || { rm -f "$part"; return 1; }
        mv "$part" "$cache/debian.tar"
    fi
    echo "$cache/debian.tar"
}

nested() {
    local d
    d=$(mktemp -d "$CTR_HOME/tmp/nested.XXXXXX")
    cat >"$d/setup" <<S
set -e
D=$d
PATH=\$PATH:/usr/sbin:/sbin
chmod 755 "$CTR_HOME" "$CTR_HOME/tmp" "\$D"
mkdir -p "\$D/bin" "\$D/home" "\$D/run" "\$D/tmp" "\$D/disk"
echo tester:10000:50000 >"\$D/subuid"
cp "\$D/subuid" "\$D/subgid"
cp /etc/hosts "\$D/hosts"
{ echo root:x:0:0::/root:/bin/sh; echo "tester:x:1000:1000::\$D/home:/bin/sh"; } >"\$D/passwd"
for p in newuidmap newgidmap; do cp "\$(command -v \$p)" "\$D/bin/\$p"; done
setcap cap_setuid+ep "\$D/bin/newuidmap"
setcap cap_setgid+ep "\$D/bin/newgidmap"
$1
for f in subuid subgid passwd hosts; do mount --bind "\$D/\$f" "/etc/\$f"; done
chown -R 1000:1000 "\$D/home" "\$D/run" "\$D/tmp"
chown 1000:1000 "\$D/disk" 2>/dev/null || true
chmod 700 "\$D/run"
exec setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all env -i HOME="\$D/home" XDG_RUNTIME_DIR="\$D/run" \\
    TMPDIR="\$D/tmp" ASAN_OPTIONS="\$ASAN_OPTIONS" UBSAN_OPTIONS="\$UBSAN_OPTIONS" USER=tester PATH="\$D/bin:\$PATH" CTR_HOME="$CTR_HOME" D="\$D" bash "\$D/script"
S
    printf 'cd "$HOME"\n%s\n' "$2" >"$d/script"
    unshare --map-auto --map-root-user --mount bash "$d/setup"
}

# rich_layout: the layout of an image with all that an image may hold (richlayers.py); its tars are in $CTR_HOME/rich.
rich_layout() {
    local dir
    dir=$(images_dir rich)
    if [ ! -e "$dir/index.json" ]; then
        mkdir -p "$CTR_HOME/rich"
        unshare --map-auto --map-root-user python3 "$TESTS_DIR/lib/richlayers.py" "$CTR_HOME/rich" "$(command -v busybox)" >&2 || return 1
        python3 "$TESTS_DIR/lib/tarlayout.py" "$dir" "$CTR_HOME"/rich/[0-2].tar >&2 || return 1
    fi
    echo "$dir"
}

# podman_here …: podman with a store of its own in $CTR_HOME, plain copies of layers instead of mounts.
podman_here() {
    podman --root "$CTR_HOME/podman" --runroot "$CTR_HOME/podman-run" --storage-driver vfs --events-backend file "$@" 2> >(grep -v 'not a shared mount' >&2)
}
