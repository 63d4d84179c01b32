#!/usr/bin/env bats
# images, tag, rmi, image inspect: what there is, what it is called, and what may be removed.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    registry_start plain
    registry_push plain "$(layout tiny):latest" team/tiny:1
    registry_push plain "$(layout tiny):latest" team/tiny:2
    mkdir -p "$CTR_HOME/rich"
    tar -C "$CTR_HOME/rich" --owner=0 --group=0 -cf "$CTR_HOME/rich/0.tar" --files-from /dev/null
    python3 "$TESTS_DIR/lib/tarlayout.py" "$CTR_HOME/layouts/labelled" "$CTR_HOME/rich/0.tar"
    registry_push plain "$CTR_HOME/layouts/labelled:latest" labelled:1
}
file_teardown() { registry_stop_all; }

setup() {
    P=$(registry_addr plain)
    local all
    all=$(coracle ps -aq)
    [ -z "$all" ] || coracle rm -f $all >/dev/null
    no_images
}

id_of() { coracle image inspect -f '{{.Id}}' "$1"; }
names() { coracle images --format '{{.Repository}}:{{.Tag}}' "$@" | sort | paste -sd' '; }
# make NAME [N]: an image of its own; N tells one from another
make() { coracle import --change 'CMD ["/bin/sh"]' --change "ENV N=${2:-$1}" "$(image_tar busybox)" "$1" >/dev/null; }

# ---- images ----

@test "an empty store: the table has its head, -q prints nothing" {
    assert_eq "$(coracle images | tr -s ' ')" "REPOSITORY TAG IMAGE ID CREATED SIZE"
    assert_eq "$(coracle images -q)" ""
    assert_eq "$(coracle images --format '{{.ID}}')" ""
}

@test "images, image ls and image list are one command; columns and short ids" {
    make one
    id=$(id_of one)
    run -0 coracle images
    for words in "image ls" "image list"; do # its age may be another one by now
        assert_eq "$(coracle $words | awk '{print $1, $2, $3}')" "$(awk '{print $1, $2, $3}' <<<"$output")"
    done
    [[ ${lines[1]} =~ ^one\ +latest\ +${id:7:12}\ +.*ago\ +[0-9.]+MB$ ]] || fail "the row"
    assert_eq "$(coracle images -q)" "${id:7:12}"
    assert_eq "$(coracle images -q --no-trunc)" "$id"
    assert_eq "$(coracle images --no-trunc --format '{{.ID}}')" "$id"
}

@test "one row a name; a nameless image shows <none>; newest first" {
    coracle pull -q "$P/team/tiny:1" # of 2024
    make new:1
    coracle tag new:1 new:2
    coracle import "$(image_tar busybox)" >/dev/null
    assert_eq "$(coracle images --format '{{.Repository}}' | sort | uniq -c | awk '{print $1, $2}' | paste -sd,)" "1 <none>,1 $P/team/tiny,2 new"
    assert_eq "$(coracle images --format '{{.Repository}}' | tail -1)" "$P/team/tiny"
}

@test "--digests, and names pulled by digest" {
    coracle pull -q "$P/team/tiny:1"
    digest=$(coracle image inspect -f '{{index .RepoDigests 0}}' "$P/team/tiny:1")
    run -0 coracle images --digests
    assert_output_has "DIGEST"
    assert_output_has "${digest#*@}"
    # the second tag of the same image costs no second image
    coracle pull -q "$P/team/tiny:2"
    assert_eq "$(image_ids | wc -l)" 1
    assert_eq "$(names)" "$P/team/tiny:1 $P/team/tiny:2"
    make local
    assert_eq "$(coracle images --digests --format '{{.Repository}} {{.Digest}}' local)" "local <none>"
}

@test "--format: templates, table, json, functions" {
    make one
    id=$(id_of one)
    assert_eq "$(coracle images --format '{{.Repository}}:{{.Tag}}@{{.ID}}')" "one:latest@${id:7:12}"
    assert_eq "$(coracle images --format 'table {{.Repository}}\t{{.Tag}}' | tr -s ' ' | paste -sd,)" "REPOSITORY TAG,one latest"
    assert_eq "$(coracle images --format json | jq -r '.Repository + " " + .Tag + " " + .ID')" "one latest ${id:7:12}"
    assert_eq "$(coracle images --format '{{json .Tag}} {{upper .Repository}} {{len .ID}}')" '"latest" ONE 12'
    [[ $(coracle images --format '{{.CreatedAt}}') =~ ^20[0-9-]{8}\ [0-9:]{8}\ .*$ ]]
    [[ $(coracle images --format '{{.Size}}') =~ ^[0-9.]+MB$ ]]
    run coracle images --format '{{.Tag'
    assert_status 1
}

@test "patterns and --filter" {
    coracle pull -q "$P/labelled:1"
    make app:1 first
    make app:2 second
    make lib/app:1 third
    coracle import "$(image_tar busybox)" >/dev/null
    assert_eq "$(names app)" "app:1 app:2"
    assert_eq "$(names app:2)" "app:2"
    assert_eq "$(names 'a*')" "app:1 app:2"
    assert_eq "$(names '*/app')" "lib/app:1"
    assert_eq "$(names none)" ""
    assert_eq "$(names --filter reference='app:*')" "app:1 app:2"
    assert_eq "$(names --filter reference=app:1 --filter reference=lib/app)" "app:1 lib/app:1"
    assert_eq "$(names --filter dangling=true)" "<none>:<none>"
    assert_eq "$(names --filter dangling=false app)" "app:1 app:2"
    assert_eq "$(names --filter label=purpose)" "$P/labelled:1"
    assert_eq "$(names --filter label=purpose=test)" "$P/labelled:1"
    assert_eq "$(names --filter label=purpose=other)" ""
    assert_eq "$(names --filter before=app:1 --filter label=purpose)" "$P/labelled:1"
    assert_eq "$(names --filter since="$P/labelled:1" --filter reference=app)" "app:1 app:2"
    assert_eq "$(names --filter until=2024-12-31)" "$P/labelled:1"
    run coracle images --filter nonsense=1
    assert_status 1
    assert_output_has "nonsense"
    run coracle images --filter before=no/such
    assert_status 1
    run coracle images --filter dangling
    assert_status 125
}

@test "a damaged record is named and skipped; the rest is shown" {
    make good
    make bad
    echo '{"half": ' >"$STORE/images/$(id_of bad | cut -c8-).json"
    run --separate-stderr -0 coracle images --format '{{.Repository}}'
    assert_eq "$output" good
    case $stderr in *damaged*) ;; *) fail "not said: $stderr" ;; esac
    assert_eq "$(coracle run --rm --network none good busybox echo works 2>&1)" works
    unshare --map-auto --map-root-user rm -rf "$STORE"
}

@test "--tree: names below each other, then the platform; U where a container uses it" {
    make app:1
    coracle tag app:1 other/app:2
    id=$(id_of app:1)
    manifest=$(coracle image inspect -f '{{.Descriptor.digest}}' app:1)
    run -0 coracle images --tree
    assert_eq "$(head -1 <<<"$output" | tr -s ' ')" "IMAGE ID DISK USAGE CONTENT SIZE EXTRA"
    [[ ${lines[1]} =~ ^app:1\ +${id:7:12}\ +[0-9.]+MB\ +[0-9.]+MB\ *$ ]] || fail "the image: ${lines[1]}"
    assert_eq "$(tr -d ' ' <<<"${lines[2]}")" other/app:2
    [[ ${lines[3]} =~ ^└─\ linux/amd64\ +${manifest:7:12}\ +[0-9.]+MB\ +[0-9.]+MB\ *$ ]] || fail "the platform: ${lines[3]}"
    coracle create --name user --network none app:1 >/dev/null
    [[ $(coracle images --tree app | sed -n 2p) =~ MB\ +U\ *$ ]] || fail "a container uses it"
    coracle rm user >/dev/null
    assert_eq "$(coracle images --tree none | wc -l)" 1
    for flag in -q --no-trunc --digests --format=json; do
        run coracle images --tree "$flag"
        assert_status 1
        assert_output_has "is not yet supported with --tree"
    done
}

@test "references of filters and arguments: any of them; digests; what is no truth is refused" {
    make app:1 first
    make lib/app:1 second
    assert_eq "$(names --filter reference=lib/app app)" "app:1 lib/app:1"
    coracle pull -q "$P/team/tiny:1"
    digest=$(coracle image inspect -f '{{index .RepoDigests 0}}' "$P/team/tiny:1")
    coracle pull -q "$digest"
    coracle untag "$P/team/tiny:1" "$P/team/tiny:1"
    assert_eq "$(names --filter reference="$P/team/*")" "$P/team/tiny:<none>"
    assert_eq "$(names --filter reference="$P/none")" ""
    run coracle images --filter dangling=perhaps
    assert_status 1
    assert_output_has "invalid filter 'dangling=perhaps'"
    assert_eq "$(names --filter before=lib/app:1 --filter until=24h app)" ""
}

# ---- history ----

@test "history: a line a step, newest first; sizes, formats, ids" {
    make base:1
    coracle create --name step --network none base:1 busybox touch "$(printf '\tand a command that is longer than forty-five')" >/dev/null
    coracle commit -m "second step" step base:2 >/dev/null
    coracle rm step >/dev/null
    id=$(id_of base:2)
    run -0 coracle history base:2
    assert_eq "$(coracle image history base:2 | awk '{print $1, $NF}')" "$(awk '{print $1, $NF}' <<<"$output")"
    assert_eq "$(tr -s ' ' <<<"${lines[0]}")" "IMAGE CREATED CREATED BY SIZE COMMENT"
    [[ ${lines[1]} =~ ^${id:7:12}\ +.*ago\ +busybox\ touch\ \ and\ a\ command.*…\ +[0-9.]+k?B\ +second\ step$ ]] || fail "the newest: ${lines[1]}"
    [[ ${lines[2]} =~ ^'<missing>'\ +.*ago\ .*MB\ +Imported ]] || fail "the oldest: ${lines[2]}"
    assert_eq "${#lines[@]}" 3
    assert_eq "$(coracle history -q --no-trunc base:2 | paste -sd' ')" "$id <missing>"
    coracle history --no-trunc --format '{{.CreatedBy}}' base:2 | grep -q 'longer than forty-five$'
    [[ $(coracle history -H=false --format '{{.Size}} {{.CreatedSince}}' base:2 | tail -1) =~ ^[0-9]{6,}\ 20[0-9-]+T[0-9:]+Z$ ]]
    coracle history -H=false base:2 | head -1 | grep -q 'CREATED AT'
    assert_eq "$(coracle history --format json base:2 | jq -r .Comment | head -1)" "second step"
    assert_eq "$(coracle history --platform linux/amd64 -q base:2 | wc -l)" 2
    run coracle history --platform linux/arm64 base:2
    assert_status 1
    assert_output_has "does not match the specified platform (linux/arm64)"
    run coracle history none
    assert_status 1
    assert_output_has "No such image: none"
}

# ---- tag ----

@test "tag: by name, id, prefix; docker.io's long and short names are one" {
    make src
    id=$(id_of src)
    coracle tag src a:1
    coracle tag "$id" b
    coracle tag "${id:7:8}" localhost:5000/c/d:v2
    coracle tag src docker.io/library/short:1
    coracle tag short:1 docker.io/user/x
    assert_eq "$(names)" "a:1 b:latest localhost:5000/c/d:v2 short:1 src:latest user/x:latest"
    assert_eq "$(id_of docker.io/user/x)" "$id"
    assert_eq "$(image_ids | wc -l)" 1
    make other
    coracle tag other a:1
    assert_eq "$(id_of a:1)" "$(id_of other)"
}

@test "tag: what cannot be" {
    make src
    run coracle tag none x
    assert_status 1
    assert_output_has "No such image: none"
    run coracle tag src UPPER:1
    assert_status 1
    assert_output_has "must be lowercase"
    run coracle tag src "x@sha256:$(printf 0%.0s $(seq 64))"
    assert_status 1
    assert_output_has "digest"
    run coracle tag src
    assert_status 1
    run coracle tag src ../../x
    assert_status 1
    assert_eq "$(names)" src:latest
}

# ---- rmi ----

@test "rmi of one name of several untags; the last one removes the image and its files" {
    make a
    coracle tag a b
    id=$(id_of a)
    run -0 coracle rmi a
    assert_eq "$output" "Untagged: a:latest"
    assert_eq "$(id_of b)" "$id"
    run -0 coracle rmi b
    assert_eq "$output" $'Untagged: b:latest\nDeleted: '"$id"
    wait_for nothing_stored || fail "left: $(ls "$STORE/layers" "$STORE/blobs/sha256")"
    store_is_clean
    run coracle rmi b
    assert_status 1
    assert_output_has "No such image: b"
}

@test "rmi by id: several names of one repository go together, of several only with -f" {
    make a:1
    coracle tag a:1 a:2
    id=$(id_of a:1)
    run -0 coracle rmi "${id:7:12}"
    assert_output_has "Untagged: a:1"
    assert_output_has "Untagged: a:2"
    assert_output_has "Deleted: $id"
    make a:1
    coracle tag a:1 b:1
    id=$(id_of a:1)
    run coracle rmi "$id"
    assert_status 1
    assert_output_has "must be forced"
    assert_output_has "multiple repositories"
    assert_eq "$(names)" "a:1 b:1"
    coracle rmi -f "$id"
    assert_eq "$(names)" ""
}

@test "rmi of a pulled image takes its digest names along" {
    coracle pull -q "$P/team/tiny:1"
    run -0 coracle rmi "$P/team/tiny:1"
    assert_output_has "Untagged: $P/team/tiny@sha256:"
    assert_eq "$(ls "$STORE/refs")" ""
}

@test "several at once: the good ones go, the bad ones are said" {
    make a
    make b
    run coracle rmi a none b
    assert_status 1
    assert_output_has "No such image: none"
    assert_eq "$(names)" ""
}

@test "layers that another image uses stay" {
    make a 1
    make b 2
    assert_eq "$(ls "$STORE/layers" | wc -l)" 1
    coracle rmi a >/dev/null
    store_settles
    assert_eq "$(coracle run --rm --network none b busybox sh -c 'echo $N' 2>&1)" 2
}

@test "an image that a stopped container uses: refused, forced, and the container still starts" {
    make used
    id=$(id_of used)
    coracle create --name keeper --network none used busybox echo still here >/dev/null
    for name in used "$id"; do
        run coracle rmi "$name"
        assert_status 1
        assert_output_has "must "
        assert_output_has force
        assert_output_has "$(coracle inspect -f '{{.Id}}' keeper | cut -c1-12)"
    done
    coracle rmi -f used >/dev/null
    assert_eq "$(names)" ""
    store_settles
    assert_eq "$(coracle start -a keeper 2>&1)" "still here"
    coracle rm keeper >/dev/null
}

@test "an image that a running container uses can lose its name, never its files" {
    make used
    id=$(id_of used)
    coracle run -d --name runner --network none used busybox sleep 1000 >/dev/null
    run coracle rmi used
    assert_status 1
    run coracle rmi -f "$id"
    assert_status 1
    assert_output_has "cannot be forced"
    run -0 coracle rmi -f used
    assert_output_has "Untagged: used:latest"
    refute_output_has Deleted
    assert_eq "$(coracle exec runner busybox echo alive)" alive
    assert_eq "$(coracle inspect -f '{{.Image}}' runner)" "$id"
    coracle rm -f runner >/dev/null
    coracle rmi "$id" >/dev/null
    wait_for nothing_stored || fail "layers were left"
}

@test "ids: prefixes that are unique, ambiguous, or also a name" {
    make a
    id=$(id_of a)
    assert_eq "$(id_of "${id:7:5}")" "$id"
    assert_eq "$(id_of "sha256:${id:7:20}")" "$id"
    run coracle image inspect "sha256:$(printf f%.0s $(seq 64))"
    assert_status 1
    # a name that looks like an id prefix is a name
    coracle import "$(image_tar busybox)" "${id:7:6}" >/dev/null
    [ "$(id_of "${id:7:6}")" != "$id" ]
    for i in $(seq 17); do make "n$i"; done # of 18 ids two begin alike
    twice=$(image_ids | cut -c8 | sort | uniq -d | head -1)
    run coracle image inspect "sha256:$twice"
    assert_status 1
    assert_output_has "$twice"
}

# ---- inspect ----

@test "image inspect shows what the image says, as docker does" {
    coracle pull -q "$P/labelled:1"
    coracle image inspect "$P/labelled:1" >"$BATS_TEST_TMPDIR/i"
    i() { jq -c ".[0]$1" "$BATS_TEST_TMPDIR/i"; }
    assert_eq "$(i .Config.Env)" '["PATH=/bin","TWO=2"]'
    assert_eq "$(i .Config.Cmd)" '["/bin/sh"]'
    assert_eq "$(i .Config.Labels)" '{"purpose":"test","empty":""}'
    assert_eq "$(i .Config.ExposedPorts)" '{"80/tcp":{}}'
    assert_eq "$(i .Config.StopSignal)" '"SIGINT"'
    assert_eq "$(i .Created)" '"2024-05-06T07:08:09.123456789Z"'
    assert_eq "$(i .Author)" '"a tester"'
    assert_eq "$(i .RepoTags)" "[\"$P/labelled:1\"]"
    assert_eq "$(i .Architecture)/$(i .Os)" '"amd64"/"linux"'
    assert_eq "$(i .RootFS.Type)" '"layers"'
    assert_eq "$(i '.RootFS.Layers|length')" 1
    [[ $(i '.RepoDigests[0]') =~ ^\"$P/labelled@sha256:[0-9a-f]{64}\"$ ]]
}

@test "image inspect: where the layers lie, when it was named, its manifest, its platform" {
    make base:1
    before=$(date +%s)
    coracle create --name step --network none base:1 >/dev/null
    coracle commit step base:2 >/dev/null
    coracle rm step >/dev/null
    i() { coracle image inspect -f "$1" base:2; }
    [ -d "$(i '{{.GraphDriver.Data.UpperDir}}')" ] && [ -e "$(i '{{.GraphDriver.Data.LowerDir}}')/bin/busybox" ]
    [ "$(date -d "$(i '{{.Metadata.LastTagTime}}')" +%s)" -ge "$before" ]
    [ "$(stat -c %s "$STORE/blobs/sha256/$(i '{{.Descriptor.digest}}' | cut -c8-)")" = "$(i '{{.Descriptor.size}}')" ]
    assert_eq "$(coracle image inspect --platform linux/amd64 -f '{{.Id}}' base:2)" "$(id_of base:2)"
    run coracle image inspect --platform arm64 base:2
    assert_status 1
    assert_output_has "does not match the specified platform (arm64)"
}

@test "image inspect: several, formats, errors" {
    make a
    make b
    assert_eq "$(coracle image inspect a b | jq -r '.[].RepoTags[0]' | paste -sd' ')" "a:latest b:latest"
    assert_eq "$(coracle image inspect -f '{{index .RepoTags 0}}' a b | paste -sd' ')" "a:latest b:latest"
    assert_eq "$(coracle image inspect --format '{{json .Config.Cmd}}' a)" '["/bin/sh"]'
    assert_eq "$(coracle image inspect --format '{{range .Config.Env}}{{println .}}{{end}}' a | grep N=)" N=a
    assert_eq "$(coracle inspect --type image -f '{{.Id}}' a)" "$(id_of a)"
    run --separate-stderr coracle image inspect a none
    assert_status 1
    assert_eq "$(jq -r '.[0].RepoTags[0]' <<<"$output")" a:latest
    case $stderr in *"No such image: none"*) ;; *) fail "stderr: $stderr" ;; esac
    run coracle image inspect
    assert_status 1
    run coracle image inspect -f '{{.No.Such.Thing.At.All}' a
    assert_status 64
}

@test "image diff: the topmost layer, or from one image to another, as the container that made it says" {
    image busybox
    coracle run --name d1 busybox sh -c 'echo x >/new; rm /etc/group; chmod 700 /home; rm -r /usr; mkdir -p /opt/deep; echo y >/opt/deep/f'
    coracle diff d1 >"$BATS_TEST_TMPDIR/one"
    coracle commit d1 diff:1 >/dev/null
    run -0 coracle image diff diff:1
    assert_eq "$output" "$(cat "$BATS_TEST_TMPDIR/one")"
    run -0 coracle image diff diff:1 busybox
    assert_eq "$output" "$(cat "$BATS_TEST_TMPDIR/one")"
    coracle run --name d2 diff:1 sh -c 'rm /new; rm -r /opt/deep; mkdir /opt/deep; echo z >/opt/deep/g; ln -s f /opt/link; echo root:x:0: >/etc/group'
    coracle commit d2 diff:2 >/dev/null
    run -0 coracle image diff diff:2 diff:1
    assert_eq "$output" $'C /etc\nA /etc/group\nD /new\nC /opt\nC /opt/deep\nD /opt/deep/f\nA /opt/deep/g\nA /opt/link'
    run -0 coracle image diff diff:1 diff:2
    assert_eq "$output" $'C /etc\nD /etc/group\nA /new\nC /opt\nC /opt/deep\nA /opt/deep/f\nD /opt/deep/g\nD /opt/link'
    run -0 coracle image diff diff:2 diff:2
    assert_eq "$output" ""
    run -0 coracle image diff --format json busybox diff:1
    assert_eq "$(jq -c '.added | sort' <<<"$output")" '["/etc/group","/usr","/usr/bin"]'
    assert_eq "$(jq -c '.deleted' <<<"$output")" '["/new","/opt"]'
    run coracle image diff diff:1 nosuch
    assert_status 1
    assert_output_has "No such image"
    coracle rm d1 d2
    coracle rmi diff:1 diff:2
}

@test "write errors are errors" {
    make a
    run bash -c 'coracle images >/dev/full'
    assert_status 1
    run bash -c 'coracle image inspect a >/dev/full'
    assert_status 1
}
