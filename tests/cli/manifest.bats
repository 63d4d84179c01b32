#!/usr/bin/env bats
# manifest: lists for several platforms, made of what a registry has, and looked at.
load ../lib/common
load ../lib/registry
load ../lib/images

file_setup() {
    registry_start plain
    registry_push plain "$(layout one):latest" team/one:1
    registry_push plain "$(layout x86 --arch amd64):latest" team/x86:1
    registry_push plain "$(layout arm --arch arm64):latest" team/arm:1
    registry_push plain "$(layout arm --arch arm64):latest" team/app:arm
    registry_push plain "$(layout multi --arch amd64,arm64):latest" team/multi:1
}
file_teardown() { registry_stop_all; }
setup() {
    P=$(registry_addr plain) L=$P/team/app:all
    rm -rf "$STORE/manifests"
}
raw() { skopeo --insecure-policy inspect --raw --tls-verify=false "docker://$1"; }

@test "inspect: what the registry has, and docker's verbose view" {
    run -0 coracle manifest inspect "$P/team/multi:1"
    assert_eq "$(jq -cS . <<<"$output")" "$(raw "$P/team/multi:1" | jq -cS .)"
    [[ ${lines[1]} == $'\t"'* ]] || fail "not indented by tabs: ${lines[1]}"
    coracle manifest inspect -v "$P/team/multi:1" >"$BATS_TEST_TMPDIR/v"
    assert_eq "$(jq -r '.[].Descriptor.platform.architecture' "$BATS_TEST_TMPDIR/v" | paste -sd' ')" "amd64 arm64"
    assert_eq "$(coracle manifest inspect -v "$P/team/one:1" | jq -r '.Ref + " " + .Descriptor.platform.architecture + " " + (.OCIManifest.layers | length | tostring)')" \
        "$P/team/one:1 amd64 $(raw "$P/team/one:1" | jq '.layers | length')"
    run coracle manifest inspect "$P/team/none:1"
    assert_status 1
    assert_eq "$(coracle images -q)" ""
}

@test "create, annotate, push: an index whose images come from elsewhere in the registry" {
    run -0 coracle manifest create "$L" "$P/team/x86:1" "$P/team/app:arm"
    assert_eq "$output" "Created manifest list $L"
    assert_eq "$(coracle manifest inspect "$L" | jq -r '.manifests[].platform.architecture' | paste -sd' ')" "amd64 arm64"
    coracle manifest annotate --variant v8 --os-version 10 --os-features a --os-features b "$L" "$P/team/app:arm"
    assert_eq "$(coracle manifest inspect "$L" | jq -c '.manifests[1].platform | [.variant, ."os.version", ."os.features"]')" '["v8","10",["a","b"]]'
    run -0 coracle manifest push -p "$L"
    [[ $output =~ ^sha256:[0-9a-f]{64}$ ]]
    assert_eq "sha256:$(raw "$L" | sha256sum | cut -c1-64)" "$output"
    run coracle manifest push "$L"
    assert_status 1
    assert_output_has "No such manifest"
    coracle pull -q --platform linux/amd64 "$L"
    assert_eq "$(coracle run --rm --network none --pull never "$L" echo works 2>&1)" works
    coracle rmi "$L" >/dev/null
}

@test "a list keeps what two make of it at once" {
    coracle manifest create "$L" "$P/team/x86:1" >/dev/null
    writes_slowly coracle manifest create --amend "$L" "$P/team/arm:1"
    has_read() { [ "$(grep -cs 'app:all.json' "$BATS_TEST_TMPDIR/trace")" -ge 2 ]; } # once before it asks the registry, too
    wait_for has_read
    coracle manifest annotate --variant v3 "$L" "$P/team/x86:1"
    wait $!
    assert_eq "$(coracle manifest inspect "$L" | jq -c '[.manifests[].platform | .architecture, .variant]')" '["amd64","v3","arm64",null]'
    coracle manifest rm "$L" >/dev/null
}

@test "create again wants --amend; add, rm, and what cannot be listed" {
    coracle manifest create "$L" "$P/team/x86:1" >/dev/null
    run coracle manifest create "$L" "$P/team/arm:1"
    assert_status 1
    assert_output_has "refusing to amend"
    coracle manifest create --amend "$L" "$P/team/arm:1" >/dev/null
    coracle manifest add "$L" "$P/team/arm:1"
    assert_eq "$(coracle manifest inspect "$L" | jq '.manifests | length')" 2
    run coracle manifest add "$L" "$P/team/multi:1"
    assert_status 1
    assert_output_has "is a manifest list"
    run coracle manifest annotate --os linux "$L" "$P/team/none:1"
    assert_status 1
    assert_output_has "does not exist in"
    run coracle manifest rm "$L" "$P/team/none:1"
    assert_status 1
    assert_output_has "No such manifest: $P/team/none:1"
    assert_eq "$(ls "$STORE/manifests")" ""
}

@test "buildx imagetools inspect, image inspect --remote and --raw: what there is, byte for byte, and nothing pulled" {
    digest=sha256:$(raw "$P/team/multi:1" | sha256sum | cut -c1-64)
    arm=$(raw "$P/team/multi:1" | jq -r '.manifests[] | select(.platform.architecture == "arm64").digest')
    run -0 coracle buildx imagetools inspect "$P/team/multi:1"
    assert_output_has "Name:      $P/team/multi:1"
    assert_output_has "Digest:    $digest"
    assert_output_has "  Name:      $P/team/multi@$arm"
    assert_output_has "  Platform:  linux/arm64"
    coracle buildx imagetools inspect --raw "$P/team/multi:1" | cmp - <(raw "$P/team/multi:1")
    coracle image inspect --remote --raw "$P/team/one:1" | cmp - <(raw "$P/team/one:1")
    run -0 coracle buildx imagetools inspect --format '{{.Manifest.Digest}} {{(index .Image "linux/arm64").Architecture}}' "$P/team/multi:1"
    assert_eq "$output" "$digest arm64"
    run -0 coracle image inspect --remote --format '{{.Image.Architecture}} {{.Manifest.Size}}' "$P/team/one:1"
    assert_eq "$output" "amd64 $(raw "$P/team/one:1" | wc -c)"
    assert_eq "$(coracle images -q)" ""
    coracle pull -q "$P/team/one:1" >/dev/null
    coracle image inspect --raw "$P/team/one:1" | cmp - <(raw "$P/team/one:1")
    coracle rmi "$P/team/one:1" >/dev/null
    for args in "create x" "inspect" "inspect --raw --format x $P/team/one:1" "inspect $P/team/none:1"; do
        run coracle buildx imagetools $args
        assert_status 1
    done
    run coracle image inspect --raw nosuch
    assert_status 1
}
