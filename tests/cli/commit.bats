#!/usr/bin/env bats
# commit: an image from what a container has changed.
load ../lib/common
load ../lib/containers
load ../lib/registry
load ../lib/images

config() { coracle image inspect "$1" | jq -c ".[0].Config | $2"; }
# Everything in the root of a container or image that is its own, with what can be compared
inventory() {
    cat <<'E'
cd / && busybox find . -xdev \( -path ./dev -o -path ./proc -o -path ./sys -o -path ./etc/hosts -o -path ./etc/hostname -o -path ./etc/resolv.conf \) -prune -o ! -type d -exec busybox stat -c '%n %f %u %g %s %h %Y' {} \; -o -type d -exec busybox stat -c '%n %f %u %g' {} \; | busybox sort
E
}

changes='mkdir -p /data/sub && echo one >/data/sub/f && ln /data/sub/f /data/hard && ln -s sub/f /data/soft && mkfifo /data/pipe &&
    chown 5:6 /data/sub/f && chmod 2750 /data/sub && rm /bin/ls && echo more >>/etc/group && rm -r /usr && mkdir /usr && echo n >/usr/here &&
    rm /bin/mv && mkdir /bin/mv && rm -r /home && echo f >/home && truncate -s 20M /data/hole && echo end >>/data/hole'

@test "the new image is what the container was; the same container from it has changed nothing" {
    c=$(unique)
    container "$c"
    inside "$c" sh -c "$changes"
    run --separate-stderr -0 coracle commit "$c" my/image:v1
    [[ $output =~ ^sha256:[0-9a-f]{64}$ ]]
    assert_eq "$(coracle image inspect -f '{{.Id}}' my/image:v1)" "$output"
    want=$(inside "$c" sh -c "$(inventory)")
    n=$(unique)
    coracle run -d --name "$n" --network none my/image:v1 sleep 100000 >/dev/null
    diff <(inside "$n" sh -c "$(inventory)") <(echo "$want")
    assert_eq "$(coracle diff "$n")" ""
    assert_eq "$(inside "$n" sh -c 'cat /data/hard /home; ls /usr' 2>&1 || true)" "$(inside "$c" sh -c 'cat /data/hard /home; ls /usr' 2>&1 || true)"
    [ "$(inside "$n" busybox stat -c %b /data/hole)" -lt 1000 ]
}

@test "of a stopped container, of one that changed nothing, and of an image made by commit" {
    c=$(unique)
    container "$c"
    coracle commit "$c" empty >/dev/null
    inside "$c" sh -c 'echo 1 >/one'
    coracle stop -t 0 "$c" >/dev/null
    coracle commit "$c" first >/dev/null
    coracle run --name second --network none first sh -c 'rm /one && echo 2 >/two'
    coracle commit second >/dev/null
    coracle container commit second second >/dev/null
    assert_eq "$(coracle run --rm --network none second sh -c 'cat /two; ls /one 2>&1' 2>&1)" $'2\nls: /one: No such file or directory'
    assert_eq "$(coracle image inspect -f '{{len .RootFS.Layers}}' second)" 3
    coracle run --rm --network none empty true
}

@test "the config is the container's, with --change; author, message and history" {
    c=$(unique)
    container "$c" -e FOO=bar -w /tmp -l a=b -u alice --expose 80
    coracle commit -a 'Jo <jo@example.org>' -m 'a message' -c 'ENV X=$FOO' --change 'CMD ["echo","hi"]' -c 'LABEL c=d' "$c" made >/dev/null
    assert_eq "$(config made '[.Cmd, .User, .WorkingDir, .Labels.a, .Labels.c, (.ExposedPorts|keys)]')" '[["echo","hi"],"alice","/tmp","b","d",["80/tcp"]]'
    config made '.Env[]' | grep -qx '"FOO=bar"'
    config made '.Env[]' | grep -qx '"X=bar"'
    assert_eq "$(coracle image inspect -f '{{.Author}}|{{.Comment}}' made)" 'Jo <jo@example.org>|a message'
    assert_eq "$(coracle run --rm --network none made 2>&1)" hi
    id=$(coracle image inspect -f '{{.Id}}' made)
    assert_eq "$(jq -c '.history[-1] | [.created_by, .author, .comment]' "$STORE/blobs/sha256/${id#sha256:}")" '["sleep 100000","Jo <jo@example.org>","a message"]'
    assert_eq "$(jq '(.history | length) == (.rootfs.diff_ids | length)' "$STORE/blobs/sha256/${id#sha256:}")" true
}

@test "extended attributes and file capabilities come along" {
    c=$(unique)
    container "$c" -v "$(command -v setfattr):/vol/setfattr:ro" -v "$(command -v setcap):/vol/setcap:ro" -v /lib:/lib:ro -v /lib64:/lib64:ro -v /usr/lib:/usr/lib:ro
    inside "$c" sh -c 'cp /bin/busybox /capable && /vol/setcap cap_net_raw+ep /capable && /vol/setfattr -n user.note -v kept /etc/group'
    coracle commit "$c" attrs >/dev/null
    layer=$(coracle image inspect -f '{{index .RootFS.Layers 1}}' attrs)
    diff=$(grep -l "$layer" "$STORE"/layers/*/info.json)
    unshare --map-auto --map-root-user getcap "${diff%info.json}diff/capable" | grep -q cap_net_raw
    unshare --map-auto --map-root-user getfattr --only-values -n user.note "${diff%info.json}diff/etc/group" | grep -qx kept
}

@test "with the copy driver, too" {
    local driver
    driver=$(coracle info -f '{{.Driver}}')
    mkdir -p "$HOME/.config/coracle"
    echo '{"storage-driver":"vfs"}' >"$HOME/.config/coracle/config.json"
    c=$(unique)
    container "$c"
    assert_eq "$(coracle info -f '{{.Driver}}') $(coracle inspect -f '{{.Driver}} {{.GraphDriver.Name}}' "$c")" "vfs vfs vfs"
    [ -d "$(coracle inspect -f '{{.GraphDriver.Data.MergedDir}}' "$c")/bin" ]
    inside "$c" sh -c "$changes"
    want=$(inside "$c" sh -c "$(inventory)")
    coracle commit "$c" copied >/dev/null
    rm "$HOME/.config/coracle/config.json"
    # the copy stays one
    assert_eq "$(coracle info -f '{{.Driver}}') $(coracle inspect -f '{{.Driver}}' "$c")" "$driver vfs"
    n=$(unique)
    coracle run -d --name "$n" --network none copied sleep 100000 >/dev/null
    diff <(inside "$n" sh -c "$(inventory)") <(echo "$want")
}

# A commit of $c that stays in the middle of its work, with the container paused; its session is $commit
stuck_commit() {
    local calls=rename,renameat,renameat2
    rm -f "$T/$1"
    setsid strace -f -qq -o "$T/$1" -e trace=$calls -e inject=$calls:delay_exit=1000000000 coracle commit "$c" "$1" >/dev/null 2>&1 3>&- &
    wait_for grep -qs rename "$T/$1"
    commit=$!
}
kill_commit() { pkill -KILL -s "$1"; }
is_status() { [ "$(coracle inspect -f '{{.State.Status}}' "$c")" = "$1" ]; }

@test "a commit that is killed lets its container go on; of two, the last one; who pauses it meanwhile has it stay so" {
    c=$(unique)
    container "$c"
    inside "$c" sh -c 'echo x >/changed'
    stuck_commit one
    first=$commit
    stuck_commit two
    is_status paused
    kill_commit "$first"
    coracle commit "$c" three >/dev/null
    is_status paused
    kill_commit "$commit"
    wait_for is_status running
    inside "$c" true
    stuck_commit one
    coracle pause "$c"
    kill_commit "$commit"
    coracle commit "$c" three >/dev/null
    is_status paused
    coracle unpause "$c"
    stuck_commit one
    coracle unpause "$c"
    is_status running
    kill_commit "$commit"
    coracle commit "$c" three >/dev/null
    is_status running
    assert_eq "$(coracle events --since 1h --until 0s --filter container="$c" --filter event=pause --filter event=unpause --format '{{.Action}}' | tr '\n' ' ')" \
        "pause unpause pause unpause pause unpause pause unpause "
}

@test "a running container is paused meanwhile and goes on; -p=false leaves it alone; a paused one stays paused" {
    c=$(unique)
    container "$c"
    since=$(date +%s.%N)
    coracle commit "$c" paused >/dev/null
    assert_eq "$(coracle events --since "$since" --until 0s --filter container="$c" --format '{{.Action}}' | tr '\n' ' ')" "pause unpause commit "
    assert_eq "$(inside "$c" echo runs)" runs
    since=$(date +%s.%N)
    coracle commit -p=false "$c" >/dev/null
    assert_eq "$(coracle events --since "$since" --until 0s --filter container="$c" --format '{{.Action}}')" commit
    coracle pause "$c" >/dev/null
    coracle commit "$c" >/dev/null
    assert_eq "$(coracle inspect -f '{{.State.Status}}' "$c")" paused
    coracle unpause "$c" >/dev/null
    # a failure leaves it running, too
    run coracle commit -c 'NONSENSE x' "$c" bad
    assert_status 1
    assert_eq "$(inside "$c" echo runs)" runs
}

@test "its save is read by others" {
    command -v skopeo >/dev/null || command -v podman >/dev/null || skip "neither skopeo nor podman"
    c=$(unique)
    container "$c"
    inside "$c" sh -c "$changes"
    coracle commit "$c" "shared/$c:x" >/dev/null
    coracle save -o image.tar "shared/$c:x"
    coracle rmi "shared/$c:x" >/dev/null
    coracle load -i image.tar >/dev/null
    assert_eq "$(coracle run --rm --network none "shared/$c:x" cat /data/soft 2>&1)" one
    if command -v skopeo >/dev/null; then
        skopeo --insecure-policy copy -q docker-archive:image.tar "dir:$T/out"
        assert_eq "$(jq '.layers | length' out/manifest.json)" 2
    else
        podman --root "$T/pr" --runroot "$T/prr" --storage-driver vfs load -q -i image.tar | grep -q "shared/$c:x"
        podman --root "$T/pr" --runroot "$T/prr" --storage-driver vfs unshare rm -rf "$T/pr" "$T/prr"
    fi
}

@test "errors, and what is left after them: nothing" {
    c=$(unique)
    container "$c"
    store_settles # what commands before have left is taken away
    before=$(find "$STORE"/{blobs,layers,images,refs} | sort)
    run coracle commit nobody
    assert_status 1
    assert_output_has "No such container: nobody"
    run coracle commit "$c" UPPER
    assert_status 1
    assert_output_has "must be lowercase"
    run coracle commit "$c" "x@sha256:$(printf '%064d' 0)"
    assert_status 1
    assert_output_has "refusing to create a tag with a digest reference"
    run coracle commit -c 'RUN true' "$c" x
    assert_status 1
    assert_output_has RUN
    assert_eq "$(find "$STORE"/{blobs,layers,images,refs} | sort)" "$before"
    store_settles
}
