#!/usr/bin/env bats
# push: to real registries, read back by others; and to a scripted one that breaks off, forgets and refuses at every step.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    registry_start plain
    registry_start secured tls-basic
    scripted_start script
    registry_push plain "$(layout tiny):latest" base/tiny:1
    registry_push plain "$(layout zst3 --zstd --layers 3 --size 1000):latest" base/zst:1
}
file_teardown() { registry_stop_all; }

setup() {
    P=$(registry_addr plain) S=$(registry_addr secured) X=$(registry_addr script)
    rm -rf "$HOME/.docker" "$HOME/.config"
    scripted_set script '{"wipe": true}'
}

configure() {
    mkdir -p "$HOME/.config/coracle"
    echo "$1" >"$HOME/.config/coracle/config.json"
}
digest_of() { skopeo --insecure-policy inspect --raw --tls-verify=false "docker://$1" | sha256sum | sed 's/\(.*\)  -/sha256:\1/'; }
# The tiny image under another name.
tiny() {
    coracle image inspect "$P/base/tiny:1" >/dev/null 2>&1 || coracle pull -q "$P/base/tiny:1"
    coracle tag "$P/base/tiny:1" "$1"
}
# An image of one layer of its own, made here: $1 its name, $2 kB of noise.
made() {
    head -c "${2:-8}000" /dev/urandom >"$CTR_HOME/tmp/noise"
    tar -C "$CTR_HOME/tmp" -cf "$CTR_HOME/tmp/made.tar" noise
    coracle import "$CTR_HOME/tmp/made.tar" "$1" >/dev/null
}
steps() { scripted_log script '.[] | select(.path | test("^/token") | not) | "\(.method) \(.path | sub("/v2/[a-z/]*?/(?<k>manifests|blobs/uploads|blobs)/?.*"; "\(.k)")) \(.status)"'; }

@test "digests stay what they are, for every kind of layer; others read it back" {
    for kind in tiny zst; do
        coracle pull -q "$P/base/$kind:1"
        coracle tag "$P/base/$kind:1" "$P/copy/$kind:2"
        run --separate-stderr -0 coracle push "$P/copy/$kind:2"
        want=$(digest_of "$P/base/$kind:1")
        assert_output_has "The push refers to repository [$P/copy/$kind]"
        assert_output_has "2: digest: $want size: "
        assert_eq "$(digest_of "$P/copy/$kind:2")" "$want"
        assert_eq "$(coracle image inspect -f '{{json .RepoDigests}}' "$P/copy/$kind:2" | grep -cF "$P/copy/$kind@$want")" 1
    done
    podman_here pull -q --tls-verify=false "$P/copy/tiny:2"
    run -0 coracle push "$P/copy/tiny:2"
    assert_output_has "Layer already exists"
    run --separate-stderr -0 coracle push -q "$P/copy/tiny:2"
    assert_eq "$output" "$P/copy/tiny:2"
}

@test "blobs that another repository has are taken over; those of an image of one's own are not sent twice" {
    tiny "$P/mounted:1"
    run -0 coracle push "$P/mounted:1"
    assert_output_has "Mounted from base/tiny"
    made "$X/own:1"
    coracle push "$X/own:1"
    coracle tag "$X/own:1" "$X/second/own:1"
    scripted_set script
    run -0 coracle push "$X/second/own:1"
    assert_output_has "Mounted from own"
    assert_eq "$(scripted_log script '[.[] | select(.path | test("blobs")) | .got] | add')" "$(coracle image inspect "$X/own:1" >/dev/null; curl -s "http://$X/v2/own/manifests/1" | jq .config.size)"
}

@test "all tags, a tag that is not there, a name that is not there, a digest, another platform" {
    for tag in one two; do tiny "$P/many:$tag"; done
    run -0 coracle push -a "$P/many"
    assert_output_has "one: digest: sha256:"
    assert_output_has "two: digest: sha256:"
    assert_eq "$(skopeo list-tags --tls-verify=false "docker://$P/many" | jq -c '.Tags | sort')" '["one","two"]'
    while read -r what args; do
        run coracle push $args
        assert_status 1
        assert_output_has "${what//_/ }"
    done <<E
tag_can't_be_used_with_--all-tags -a $P/many:one
tag_does_not_exist:_$P/many:three $P/many:three
tag_does_not_exist:_$P/many:latest $P/many
An_image_does_not_exist_locally_with_the_tag:_$P/nothing $P/nothing:1
An_image_does_not_exist_locally_with_the_tag:_$P/nothing -a $P/nothing
cannot_push_a_digest_reference $P/many@sha256:$(printf 0%.0s $(seq 64))
does_not_provide_the_specified_platform --platform linux/s390x $P/many:one
invalid_reference_format $P/Many
unknown_compression_format --compression-format lzma $P/many:one
E
}

@test "layers made here are compressed once; podman runs them; zstd on demand" {
    image busybox
    for kind in gzip zstd; do
        coracle tag busybox "$P/made/$kind:1"
        coracle push --compression-format "$kind" -q "$P/made/$kind:1"
        coracle run --name "made-$kind" --network none "$P/made/$kind:1" sh -c "echo $kind >/made"
        coracle commit "made-$kind" "$P/made/$kind:2"
        coracle rm "made-$kind"
        coracle push --compression-format "$kind" -q "$P/made/$kind:2"
        store_settles # the last round's images are on their way out
        blobs=$(ls "$STORE/blobs/sha256" | wc -l)
        coracle tag "$P/made/$kind:2" "$P/again/$kind:2"
        coracle push -q "$P/again/$kind:2"
        assert_eq "$(ls "$STORE/blobs/sha256" | wc -l)" "$blobs"
        assert_eq "$(digest_of "$P/made/$kind:2")" "$(digest_of "$P/again/$kind:2")"
        coracle rmi "$P/made/$kind:2" "$P/again/$kind:2" "$P/made/$kind:1"
        coracle rmi busybox 2>/dev/null || true
        image busybox
        assert_eq "$(coracle run --rm --network none "$P/made/$kind:2" cat /made 2>/dev/null)" "$kind"
        coracle rmi "$P/made/$kind:2"
    done
    assert_eq "$(skopeo inspect --raw --tls-verify=false "docker://$P/made/gzip:2" | jq -r '.layers[].mediaType' | sort -u)" application/vnd.oci.image.layer.v1.tar+gzip
    podman_here pull -q --tls-verify=false "$P/made/gzip:2"
    podman_here pull -q --tls-verify=false "$P/made/zstd:2"
}

@test "passwords over TLS, tokens with the scopes that are needed, and who has neither" {
    tiny "$S/private:1"
    run coracle push "$S/private:1"
    assert_status 1
    assert_output_has "push access denied for private"
    assert_output_has "coracle login $S"
    docker_auth "$HOME/.docker" "$S" tester:secret
    coracle push -q "$S/private:1"
    tiny "$X/deep/token:1"
    docker_auth "$HOME/.docker" "$X" tester:secret
    scripted_set script '{"auth": "token", "anonymous": true, "rules": [{"match": "GET .*/uploads/|^PUT .*/uploads/", "status": 401, "times": 1, "headers": {"WWW-Authenticate": "Bearer realm=\"{self}/token\",service=\"test\""}}]}'
    coracle push -q "$X/deep/token:1"
    assert_eq "$(scripted_log script '[.[] | select(.path | test("^/token")) | .path] | unique | .[]')" \
        "/token?account=tester&service=test&scope=repository%3Adeep%2Ftoken%3Apull%2Cpush"
    docker_auth "$HOME/.docker" "$X" "" refresh-me
    tiny "$X/deep/other:1"
    scripted_set script '{"auth": "token"}'
    coracle push -q "$X/deep/other:1"
    assert_eq "$(scripted_log script '[.[] | select(.path | test("^/token")) | .form.scope[0]] | unique | .[]')" "repository:deep/other:pull,push repository:deep/token:pull"
}

# What breaks, and what the way of the blob, one of 3 MB, is then. "least" spares the config.
@test "uploads that break, at every step" {
    made "$X/broken/x:1" 3000
    while IFS='|' read -r name settings rules want; do
        scripted_set script "{\"wipe\": true, $settings \"rules\": [$rules]}"
        run coracle push "$X/broken/x:1"
        [ "$status" = 0 ] || fail "$name: $output"
        got=$(scripted_log script '[.[] | select((.method | test("P")) and (.got > 100000 or .range)) | "\(.method) \(.got / 1000 | floor)"] | join(", ")')
        [ "$got" = "$want" ] || fail "$name: $got instead of $want"
    done <<'E'
nothing breaks|||PUT 3001
cut off once, gone on with||{"least": 100000, "match": "^PUT", "take": 2000000}|PUT 2000, PATCH 1001
cut off, and the registry forgets|"resume": false,|{"least": 100000, "match": "^PUT", "take": 2000000}|PUT 2000, PUT 3001
cut off again and again||{"least": 100000, "match": "^P", "take": 500000, "times": 3}|PUT 500, PATCH 500, PATCH 500, PATCH 1501
the answer is lost||{"least": 100000, "match": "^PUT", "lose": true}|PUT 3001
the answer to a chunk is lost||{"least": 100000, "match": "^PUT", "take": 1000000}, {"least": 100000, "match": "^PATCH", "lose": true}|PUT 1000, PATCH 2001
dropped before it began||{"least": 100000, "match": "^PUT", "drop": true}|PUT 3001
a busy registry||{"least": 100000, "match": "^PUT", "status": 503, "headers": {"Retry-After": "0"}}|PUT 3001, PUT 3001
too many at once||{"match": "^POST", "status": 429, "headers": {"Retry-After": "0"}}|PUT 3001
it wants chunks||{"least": 100000, "match": "^PUT", "status": 413}|PUT 3001, PATCH 2097, PATCH 904
no HEAD||{"match": "^HEAD", "status": 405, "times": -1}|PUT 3001
E
}

@test "chunks by configuration; what a registry refuses for good is said, and once" {
    configure '{"upload-chunk-size": "1m", "max-concurrent-uploads": 1}'
    made "$X/chunked:1" 3000
    coracle push "$X/chunked:1"
    size=$(curl -s "http://$X/v2/chunked/manifests/1" | jq '.layers[0].size')
    assert_eq "$(scripted_log script '[.[] | select(.method == "PATCH") | "\(.range) \(.got)"] | join(", ")')" \
        "0-1048575 1048576, 1048576-2097151 1048576, 2097152-$((size - 1)) $((size - 2097152))"
    while IFS='|' read -r rule most want; do
        scripted_set script "{\"wipe\": true, \"rules\": [$rule]}"
        run coracle push "$X/chunked:1"
        assert_status 1
        assert_output_has "$want"
        assert_eq "$(scripted_log script '[.[] | select(.method == "PUT" and (.path | test("manifests")))] | length')" "$most"
    done <<'E'
{"match": "^PATCH", "status": 503, "times": -1, "headers": {"Retry-After": "0"}}|0|status 503
{"match": "^PATCH", "status": 429, "headers": {"Retry-After": "3600"}}|0|limits how often
{"match": "^POST", "status": 403, "times": -1}|0|push access denied for chunked
{"match": "^PUT .*manifests", "status": 400, "body": "{\"errors\":[{\"code\":\"TAG_INVALID\",\"message\":\"no such tags here\"}]}"}|1|tag invalid: no such tags here
{"match": "^PUT .*manifests", "header": {"Docker-Content-Digest": "sha256:0000000000000000000000000000000000000000000000000000000000000000"}}|1|has stored sha256:0000
E
    blob=$(jq -r '.layers[0].blob[7:]' "$STORE/images/$(coracle image inspect -f '{{slice .Id 7}}' "$X/chunked:1").json")
    scripted_set script '{"wipe": true}'
    mv "$STORE/blobs/sha256/$blob" "$CTR_HOME/tmp/dropped"
    run coracle push "$X/chunked:1"
    mv "$CTR_HOME/tmp/dropped" "$STORE/blobs/sha256/$blob"
    assert_status 1
    assert_output_has "its blob has been dropped here"
}

@test "Ctrl-C and SIGTERM end a push at once, with 128+n; the next one goes through" {
    made "$X/slow:1" 3000
    for signal in INT TERM; do
        scripted_set script '{"wipe": true, "rules": [{"match": "^POST", "drip": 30, "times": -1}]}'
        # a shell's background jobs ignore SIGINT; env gives it back
        env --default-signal=INT coracle push "$X/slow:1" >"$CTR_HOME/tmp/out" 2>&1 3>&- &
        pid=$!
        wait_for asked
        kill -s "$signal" "$pid"
        rc=0
        wait "$pid" || rc=$?
        assert_eq "$rc" $((128 + $(kill -l "$signal")))
    done
    scripted_set script '{"wipe": true}'
    coracle push -q "$X/slow:1"
}
asked() { [ "$(scripted_log script '[.[] | select(.method == "POST")] | length')" -ge 1 ]; }

@test "one image by two manifests: each name keeps its own, in push, inspect, save and on another pull" {
    registry_push plain "$(layout same-gz --layers 2 --size 4321):latest" two/kinds:gz
    registry_push plain "$(layout same-zst --layers 2 --size 4321 --zstd):latest" two/kinds:zst
    gz=$(digest_of "$P/two/kinds:gz") zst=$(digest_of "$P/two/kinds:zst")
    [ "$gz" != "$zst" ]
    coracle pull -q "$P/two/kinds:gz"
    coracle pull -q "$P/two/kinds:zst"
    assert_eq "$(coracle image inspect -f '{{.Id}}' "$P/two/kinds:gz")" "$(coracle image inspect -f '{{.Id}}' "$P/two/kinds:zst")"
    assert_eq "$(coracle image inspect -f '{{json .RepoDigests}}' "$P/two/kinds:gz" | jq -r 'sort[]' | sed 's/.*@//' | paste -sd' ')" \
        "$(printf '%s\n' "$gz" "$zst" | sort | paste -sd' ')"
    assert_eq "$(coracle image inspect -f '{{.Descriptor.digest}}' "$P/two/kinds:gz")" "$gz"
    assert_eq "$(coracle image inspect -f '{{.Descriptor.digest}}' "$P/two/kinds@$zst")" "$zst"
    run -0 coracle pull "$P/two/kinds:gz"
    assert_output_has "Image is up to date"
    assert_output_has "$gz"
    # what the record does not name any more is kept for the name that has it
    coracle tag "$P/two/kinds:gz" "$P/copied/gz:1"
    coracle tag "$P/two/kinds:zst" "$P/copied/zst:1"
    coracle system prune -f >/dev/null
    coracle push -q "$P/copied/gz:1" && coracle push -q "$P/copied/zst:1"
    assert_eq "$(digest_of "$P/copied/gz:1") $(digest_of "$P/copied/zst:1")" "$gz $zst"
    coracle push -q "$P/two/kinds:gz" "$P/copied/to:1"
    assert_eq "$(digest_of "$P/copied/to:1")" "$gz"
    rm -rf "$BATS_TEST_TMPDIR/both" && coracle save --format oci-dir -o "$BATS_TEST_TMPDIR/both" "$P/two/kinds:gz" "$P/two/kinds:zst"
    assert_eq "$(jq -r '.manifests[].digest' "$BATS_TEST_TMPDIR/both/index.json" | paste -sd' ')" "$gz $zst"
    run -0 coracle system check
    coracle rmi -f "$(coracle image inspect -f '{{.Id}}' "$P/two/kinds:gz")" >/dev/null
    wait_for tmp_is_empty
    # and what is loaded again has them all
    coracle load -qi "$BATS_TEST_TMPDIR/both"
    assert_eq "$(coracle image inspect --raw "$P/two/kinds:gz" | sha256sum | cut -c1-64)" "${gz#sha256:}"
    assert_eq "$(coracle image inspect --raw "$P/two/kinds:zst" | sha256sum | cut -c1-64)" "${zst#sha256:}"
    coracle rmi "$P/two/kinds:gz" "$P/two/kinds:zst" >/dev/null
}
