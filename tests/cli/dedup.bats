#!/usr/bin/env bats
# Files that images have in common: system dedup, the configuration's "dedup"; and layers that were made for pulls in chunks.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    python3 "$TESTS_DIR/lib/twins.py" "$(image_tar busybox)" "$CTR_HOME/a.tar" "$CTR_HOME/b.tar"
    coracle import "$CTR_HOME/a.tar" a:1 >/dev/null
}
file_teardown() { registry_stop_all; }

bring_b() { coracle import "$CTR_HOME/b.tar" b:1 >/dev/null; }
drop_b() {
    coracle rmi -f b:1 >/dev/null && wait_for one_layer
}
one_layer() { [ "$(find "$STORE/layers" -mindepth 1 -maxdepth 1 | wc -l)" = 1 ] && tmp_is_empty; }
ns() { unshare --map-auto --map-root-user "$@"; }
kilobytes() { ns du -sk "$STORE/layers" | cut -f1; }
bytes() { ns du -sb "$STORE/layers" | cut -f1; }
images_size() { coracle system df --format '{{if eq .Type "Images"}}{{.Size}}{{end}}' | sed '/^$/d; s/MB//'; }
# dir_of IMAGE: its lowest layer, found once: the same tar is the same layer again
dir_of() {
    local known=$CTR_HOME/dir.${1%:*}
    [ -s "$known" ] || layer_dir "$1" 0 >"$known"
    cat "$known"
}
inode() { ns stat -c %i "$(dir_of "$1")/$2"; }
same_file() { [ "$(ns stat -c %i "$(dir_of a:1)/$1" "$(dir_of b:1)/$1" | uniq -c | awk '{ print $1 }')" = 2 ]; }
reflinks() { [ "$(coracle system dedup --dry-run --format '{{.Method}}')" = reflink ]; }
sound() {
    store_settles # what rm began may still be at work
    run -0 coracle system check
    assert_output_has "is sound"
    refute_output_has "left"
}

@test "two images with two thirds of their files in common: the space of little more than one, and nothing else is changed" {
    alone=$(kilobytes)
    bring_b
    both=$(bytes) listed=$(images_size)
    a=$(tree "$(dir_of a:1)") b=$(tree "$(dir_of b:1)")
    run -0 coracle system dedup --dry-run
    assert_output_has "Space to be saved: "
    assert_eq "$(tree "$(dir_of b:1)" | md5sum) $(bytes)" "$(md5sum <<<"$b") $both"
    if same_file common/001; then fail "a dry run did it"; fi
    run -0 coracle system dedup
    assert_output_has "Total saved space: "
    assert_eq "$(tree "$(dir_of a:1)")" "$a"
    assert_eq "$(tree "$(dir_of b:1)")" "$b"
    sound
    if ! reflinks; then # which du does not know of
        [ "$(kilobytes)" -le $((alone * 135 / 100)) ] || fail "$alone KB, and with the other image $(kilobytes)"
        awk -v d="$(bytes)" -v du="$both" -v l="$(images_size)" -v listed="$listed" \
            'BEGIN { du -= d; l = (listed - l) * 1000000; exit !(du > 1000000 && l > du * 0.99 && l < du * 1.01) }' ||
            fail "du: $both, then $(bytes); df: $listed MB, then $(images_size) MB"
        for f in common/000 common/139 common/attribute closed/file bin/busybox; do same_file $f || fail "$f is there twice"; done
        for f in content owner mode time fraction attribute small linked-again; do
            if same_file differ/$f; then fail "$f is another file"; fi
        done
        [ "$(inode b:1 copies/one)" != "$(inode b:1 copies/two)" ] || fail "an image has got links of its own"
    fi
    run -0 coracle system dedup
    assert_output_has "Total saved space: 0B (0 files"
    for i in a:1 b:1; do
        sums=$(tar -xOf "$CTR_HOME/${i%:1}.tar" common/007 own/3 | md5sum)
        assert_eq "$(coracle run --rm --network none $i sh -c 'cat /common/007 /own/3 | md5sum')" "$sums"
    done
}

@test "an image's layers stay apart from each other, and running containers' layers from all" {
    reflinks && skip "reflinks are for all layers"
    # a copy of a file in a layer above it, and one in an image that has nothing to do with it
    coracle run --name copier --network none a:1 cp -a /common /above
    coracle commit copier above:1 >/dev/null
    coracle rm copier >/dev/null
    ns tar -C "$(layer_dir above:1 1)" --xattrs -cf "$CTR_HOME/side.tar" above
    coracle import "$CTR_HOME/side.tar" side:1 >/dev/null
    id=$(coracle run -d --network none b:1 sleep 1000)
    run -0 coracle system dedup
    assert_output_has "In use by containers"
    above=$(ns stat -c %i "$(layer_dir above:1 1)/above/003") below=$(inode a:1 common/003) side=$(inode side:1 above/003)
    [ "$above" != "$below" ] || fail "two files of one image have become one"
    [ "$side" = "$above" ] || [ "$side" = "$below" ] || fail "an image beside them keeps its own"
    assert_eq "$(coracle run --rm --network none above:1 sh -c 'echo x >>/above/003; cmp /above/003 /common/003 >/dev/null || echo apart')" apart
    coracle rm -f "$id" above >/dev/null 2>&1 || true
    coracle rmi above:1 side:1 >/dev/null
}

@test "other maps of ids, and the other image after one is gone" {
    coracle run --rm --network none --userns nomap b:1 sh -c 'cat /common/1* | md5sum' >"$CTR_HOME/first"
    drop_b
    sound
    bring_b
    run -0 coracle system dedup
    assert_eq "$(coracle run --rm --network none --userns nomap b:1 sh -c 'cat /common/1* | md5sum')" "$(cat "$CTR_HOME/first")"
    b=$(tree "$(dir_of b:1)")
    coracle rmi a:1 >/dev/null
    wait_for one_layer
    assert_eq "$(tree "$(dir_of b:1)")" "$b"
    sound
    coracle import "$CTR_HOME/a.tar" a:1 >/dev/null
    drop_b
}

@test "killed at any moment: nothing is wrong with the store, and the next one finishes it" {
    for ((round = 0; round < $(rounds 3); round++)); do
        bring_b
        b=$(tree --no-dir-times "$(dir_of b:1)")
        setsid coracle system dedup >/dev/null 2>&1 &
        pid=$!
        sleep 0.0$((RANDOM % 4 + 1))
        kill -KILL -- -$pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
        assert_eq "$(tree --no-dir-times "$(dir_of b:1)")" "$b"
        run -0 coracle system check
        run -0 coracle system dedup
        reflinks || same_file common/139 || fail "not finished: $output"
        store_settles
        assert_eq "$(tree --no-dir-times "$(dir_of b:1)")" "$b"
        drop_b
    done
    sound
}

@test "\"dedup\": what is loaded and imported has its share from the beginning" {
    mkdir -p "$HOME/.config/coracle"
    echo '{"dedup": "perhaps"}' >"$HOME/.config/coracle/config.json"
    run -1 coracle images
    echo '{"dedup": true}' >"$HOME/.config/coracle/config.json"
    bring_b
    if ! reflinks; then same_file common/001 || fail "import did not"; fi
    coracle save -o "$CTR_HOME/saved.tar" b:1
    drop_b
    coracle load -qi "$CTR_HOME/saved.tar"
    if ! reflinks; then same_file common/001 || fail "load did not"; fi
    rm "$HOME/.config/coracle/config.json"
    sound
    drop_b
}

@test "layers made for pulls in chunks, zstd:chunked and eStargz, are pulled as the layers they also are" {
    python3 "$TESTS_DIR/lib/chunkedimage.py" "$(image_tar busybox)" "$CTR_HOME/static/files/chunked"
    static_start files
    run -0 coracle pull -q "$REGISTRY/chunked:1"
    # nothing is asked for but the whole blobs, once
    assert_eq "$(static_log files | awk '$2 ~ /blobs/ && $1 == "GET"' | wc -l)" 3
    coracle image inspect "$REGISTRY/chunked:1" --format '{{json .RepoDigests}}' | grep -qF "$(sha256sum "$CTR_HOME/static/files/chunked/manifests/1" | cut -d' ' -f1)"
    assert_eq "$(coracle run --rm --network none "$REGISTRY/chunked:1" sh -c 'ls /star | wc -l; tail -n1 /star/7; ls /stargz.index.json; busybox true && echo runs')" $'20\n7\n/stargz.index.json\nruns'
    sound
    coracle rmi "$REGISTRY/chunked:1" >/dev/null
}
