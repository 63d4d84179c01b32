#!/usr/bin/env bats
# system df: what images and containers take up, alone and shared, and what prune would give back.
load ../lib/common

file_setup() {
    image busybox
    image layers
    coracle run --network none --name ended busybox sh -c 'head -c 250000 /dev/zero >/file'
    coracle run -d --network none --name runs busybox sh -c 'head -c 50000 /dev/zero >/file; touch /written; sleep 1000'
    wait_for coracle exec runs test -e /written
}
file_teardown() { coracle rm -f ended runs; }

row() { coracle system df --format "{{if eq .Type \"$1\"}}{{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}{{end}}" | sed '/^$/d'; }

@test "the table has docker's four rows" {
    run -0 coracle system df
    assert_eq "$(xargs <<<"${lines[0]}")" "TYPE TOTAL ACTIVE SIZE RECLAIMABLE"
    [ "${#lines[@]}" = 5 ]
    [[ ${lines[1]} == "Images "* && ${lines[2]} == "Containers "* && ${lines[3]} == "Local Volumes "* && ${lines[4]} == "Build Cache "* ]]
    assert_eq "$(row "Build Cache")" "0 0 0B 0B"
}

@test "containers: sizes are those of what they wrote, and only ended ones can be given back" {
    assert_eq "$(row Containers)" "2 1 300kB 250kB (83%)"
}

@test "images: a layer counts once, however many have it; those of containers are not reclaimable" {
    before=$(row Images)
    coracle tag busybox same:1
    assert_eq "$(row Images)" "$before"
    coracle rmi same:1
    read -r total active _ <<<"$before"
    assert_eq "$total $active" "2 1"
    size=$(coracle system df -v --format '{{range .Images}}{{if eq .Repository "busybox"}}{{.Size}} {{.SharedSize}} {{.UniqueSize}} {{.Containers}}{{end}}{{end}}')
    read -r whole shared unique containers <<<"$size"
    assert_eq "$containers" 2
    assert_eq "$whole" "$(coracle system df -v | awk '$1 == "busybox" { for (i = 3; i <= NF; i++) if ($i == "ago") { print $(i + 1); exit } }')"
    [ -n "$shared" ] && [ -n "$unique" ]
}

@test "images that share layers say so" {
    mkdir -p "$CTR_HOME/tree" && head -c 300000 /dev/urandom >"$CTR_HOME/tree/data"
    tar -C "$CTR_HOME/tree" -cf "$CTR_HOME/tree.tar" .
    coracle import "$CTR_HOME/tree.tar" twin:1
    coracle import -m other "$CTR_HOME/tree.tar" twin:2
    run -0 coracle system df -v --format '{{range .Images}}{{if eq .Repository "twin"}}{{.Size}} {{.SharedSize}} {{.UniqueSize}}|{{end}}{{end}}'
    size=$(coracle images --format '{{.Size}}' twin:1)
    [[ $output =~ ^([0-9.]+kB)\ ([0-9.]+kB)\ 0B\|([0-9.]+kB)\ ([0-9.]+kB)\ 0B\|$ ]] || fail "not shared"
    assert_eq "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
    [ -n "$size" ]
    layer=$STORE/layers/$(coracle image inspect -f '{{index .RootFS.Layers 0}}' twin:1 | cut -d: -f2)
    [ -d "$layer" ]
    coracle rmi twin:1 twin:2
    wait_for eval '[ ! -e "$layer" ]' # the next one measures
}

@test "-v has docker's four tables, and a format gets them as one object" {
    run -0 coracle system df -v
    assert_output_has "Images space usage:"
    assert_output_has "REPOSITORY   TAG       IMAGE ID"
    assert_output_has "SHARED SIZE   UNIQUE SIZE   CONTAINERS"
    assert_output_has "Containers space usage:"
    assert_output_has "LOCAL VOLUMES   SIZE"
    assert_output_has "Local Volumes space usage:"
    assert_output_has "VOLUME NAME   LINKS     SIZE"
    assert_output_has "Build cache usage: 0B"
    run -0 coracle system df -v --format '{{range .Containers}}{{.Names}}:{{.Size}} {{end}}'
    assert_eq "$output" "runs:50kB ended:250kB "
    run -0 coracle system df -v --format json
    assert_eq "$(python3 -c 'import json,sys; print(sorted(json.load(sys.stdin)))' <<<"$output")" "['BuildCache', 'Containers', 'Images', 'Volumes']"
}

@test "--format json is a line a row; wrong templates and arguments are errors" {
    run -0 coracle system df --format json
    [ "${#lines[@]}" = 4 ]
    assert_eq "${lines[3]}" '{"Active":"0","Reclaimable":"0B","Size":"0B","TotalCount":"0","Type":"Build Cache"}'
    run -1 coracle system df --format '{{.Nope}}'
    run -1 coracle system df x
    assert_output_has "accepts no arguments"
}

@test "the size of images agrees with du within a per cent" {
    mkdir -p "$CTR_HOME/big" && head -c 20000000 /dev/urandom >"$CTR_HOME/big/data"
    tar -C "$CTR_HOME/big" -cf "$CTR_HOME/big.tar" .
    before=$(unshare --map-auto --map-root-user du -sb "$STORE/layers" | cut -f1)
    coracle import "$CTR_HOME/big.tar" big:1
    after=$(unshare --map-auto --map-root-user du -sb "$STORE/layers" | cut -f1)
    size=$(coracle system df -v --format '{{range .Images}}{{if eq .Repository "big"}}{{.UniqueSize}}{{end}}{{end}}')
    [[ $size == *MB ]] || fail "got $size"
    awk -v a="${size%MB}" -v b=$((after - before)) 'BEGIN { a *= 1000000; exit !(a > b * 0.99 && a < b * 1.01) }' ||
        fail "df $size, du $((after - before))"
    coracle rmi big:1
}
