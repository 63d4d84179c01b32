#!/usr/bin/env bats
# pull: which images, and when the registry is asked: all tags, several names, policies.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    registry_start plain
    proxy_start proxy plain
    registry_push plain "$(layout one):latest" team/app:1
    registry_push plain "$(layout two --size 2000):latest" team/app:2
    registry_push plain "$(layout one):latest" team/app:latest
    registry_push plain "$(layout one):latest" other:1
}
file_teardown() { registry_stop_all; }

setup() {
    P=$(registry_addr plain) X=$(registry_addr proxy)
    no_images
    proxy_fault proxy '[]'
}
names() { coracle images --format '{{.Repository}}:{{.Tag}}' | sort | paste -sd' '; }
asked() { proxy_log proxy | jq length; }

@test "pull -a: every tag, and one status" {
    run -0 coracle pull -a "$P/team/app"
    assert_eq "$(names)" "$P/team/app:1 $P/team/app:2 $P/team/app:latest"
    assert_eq "$(grep -c '^Digest: sha256:' <<<"$output")" 3
    assert_eq "$(tail -2 <<<"$output" | paste -sd' ')" "Status: Downloaded newer image for $P/team/app $P/team/app"
    run -0 coracle pull -aq "$P/team/app"
    assert_eq "$output" "$P/team/app"
    run coracle pull -a "$P/team/app:1"
    assert_status 1
    assert_output_has "tag can't be used with --all-tags/-a"
    run coracle pull -a "$P/team/none"
    assert_status 1
}

@test "several at once: the good ones come, the bad ones are said" {
    run coracle pull -q "$P/team/app:1" "$P/none:1" "$P/other:1"
    assert_status 1
    assert_output_has "none:1"
    assert_eq "$(names)" "$P/other:1 $P/team/app:1"
}

@test "--policy: missing asks only for what is not there, never asks nobody, newer makes do" {
    run coracle pull --policy never "$X/other:1"
    assert_status 1
    assert_output_has "No such image: $X/other:1"
    assert_eq "$(asked)" 0
    coracle pull -q --policy missing "$X/other:1"
    id=$(coracle image inspect -f '{{.Id}}' "$X/other:1")
    proxy_fault proxy '[]'
    coracle pull -q --policy missing "$X/other:1"
    coracle pull -q --policy never "$X/other:1"
    assert_eq "$(asked)" 0
    run -0 coracle pull --policy missing "$X/other:1"
    assert_output_has "Image is up to date for $X/other:1"
    # another platform is not there
    run coracle pull --policy never --platform linux/arm64 "$X/other:1"
    assert_status 1
    # the registry has another one by now
    registry_push plain "$(layout two --size 2000):latest" other:1
    coracle pull -q --policy newer "$X/other:1"
    [ "$(coracle image inspect -f '{{.Id}}' "$X/other:1")" != "$id" ]
    # and now it has gone
    registry_push plain "$(layout one):latest" gone:1
    coracle pull -q "$X/gone:1"
    proxy_fault proxy '[{"match": "manifests", "status": 404, "times": -1}]'
    coracle pull -q --policy newer "$X/gone:1"
    run coracle pull -q "$X/gone:1"
    assert_status 1
    run coracle pull --policy newer "$X/never/there:1"
    assert_status 1
    run coracle pull --policy perhaps "$X/other:1"
    assert_status 1
    assert_output_has "invalid pull option: 'perhaps'"
    assert_eq "$(coracle run --rm --network none --pull newer "$X/gone:1" echo works 2>/dev/null)" works
}
