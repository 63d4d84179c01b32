#!/usr/bin/env bats
# prune: containers, images, networks and all of them; docker's questions, filters and totals.
load ../lib/common

file_setup() { image busybox; }

teardown() {
    local id
    for id in $(coracle ps -aq); do coracle rm -f "$id" >/dev/null; done
}

@test "container prune removes what does not run, lists it, and counts what that wrote" {
    coracle run --network none --name wrote busybox sh -c 'head -c 150000 /dev/zero >/file'
    coracle create --network none --name made busybox true
    coracle run -d --network none --name runs busybox sleep 1000
    wrote=$(coracle inspect -f '{{.Id}}' wrote) made=$(coracle inspect -f '{{.Id}}' made)
    run -0 coracle container prune -f
    assert_eq "${lines[0]}" "Deleted Containers:"
    assert_eq "$(sort <<<"${lines[1]}"$'\n'"${lines[2]}")" "$(printf '%s\n' "$wrote" "$made" | sort)"
    assert_eq "$(tail -2 <<<"$output")" $'\nTotal reclaimed space: 150kB'
    assert_eq "$(coracle ps -a --format '{{.Names}}')" runs
    run -0 coracle container prune -f
    assert_eq "$output" "Total reclaimed space: 0B"
}

@test "the question is docker's, and only y is a yes" {
    coracle create --network none --name one busybox true
    for answer in n N "" yes x; do
        run -0 coracle container prune <<<"$answer"
        assert_eq "$output" $'WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] '
    done
    run -0 coracle container prune </dev/null
    assert_eq "$(coracle ps -aq | wc -l)" 1
    run -0 coracle container prune <<<y
    assert_output_has "Deleted Containers:"
    run -0 coracle image prune <<<n
    assert_output_has "WARNING! This will remove all dangling images."
    run -0 coracle image prune -a <<<n
    assert_output_has "WARNING! This will remove all images without at least one container associated to them."
    run -0 coracle network prune <<<n
    assert_output_has "WARNING! This will remove all custom networks not used by at least one container."
}

@test "system prune says what it is going to do, with its filters" {
    run -0 coracle system prune --filter label=b --filter label=a <<<n
    assert_eq "$output" "WARNING! This will remove:
  - all stopped containers
  - all networks not used by at least one container
  - all dangling images
  - unused build cache

  Items to be pruned will be filtered with:
  - label=a
  - label=b

Are you sure you want to continue? [y/N] "
    run -0 coracle system prune -a --volumes <<<n
    assert_output_has "  - all anonymous volumes not used by at least one container"
    assert_output_has "  - all images without at least one container associated to them"
    assert_output_has "  - all build cache"
    run -1 coracle system prune -f --volumes --filter until=1h
    assert_output_has 'The "until" filter is not supported with "--volumes"'
}

@test "filters: label, label! and until choose" {
    coracle create --network none --name na -l keep=1 -l x busybox true
    coracle create --network none --name nb -l x busybox true
    coracle create --network none --name nc busybox true
    left() { coracle ps -a --format '{{.Names}}' | sort | xargs; }
    coracle container prune -f --filter until=1h
    assert_eq "$(left)" "na nb nc"
    coracle container prune -f --filter label=x --filter 'label!=keep'
    assert_eq "$(left)" "na nc"
    coracle container prune -f --filter label=keep=2
    assert_eq "$(left)" "na nc"
    coracle container prune -f --filter label=keep=1 --filter until=0s
    assert_eq "$(left)" nc
    run -1 coracle container prune -f --filter nope=1
    assert_output_has "invalid filter 'nope'"
    run -1 coracle container prune -f --filter until=1h --filter until=2h
    assert_output_has "more than one until filter specified"
    run -1 coracle container prune -f x
}

@test "image prune takes images without names, -a those without containers, and leaves what is used" {
    coracle tag busybox spare:1
    mkdir -p "$CTR_HOME/tree" && head -c 300000 /dev/urandom >"$CTR_HOME/tree/data"
    tar -C "$CTR_HOME/tree" -cf "$CTR_HOME/tree.tar" .
    coracle import "$CTR_HOME/tree.tar" other:1
    coracle import "$CTR_HOME/tree.tar" # nameless
    coracle create --network none --name uses busybox true
    nameless=$(coracle images -q --no-trunc --filter dangling=true)
    run -0 coracle image prune -f
    assert_eq "$output" "Deleted Images:
deleted: $nameless

Total reclaimed space: 0B"
    run -0 coracle image prune -af
    assert_output_has "untagged: other:1"
    refute_output_has "busybox"
    refute_output_has "spare:1"
    size=$(sed -n 's/Total reclaimed space: //p' <<<"$output")
    [[ $size == 30[0-9]*kB ]] || fail "freed: $size"
    coracle image inspect busybox >/dev/null
    coracle rmi spare:1
}

@test "network prune and system prune take networks that nobody wants" {
    coracle network create unused-net
    coracle network create used-net
    coracle create --network used-net --name member busybox true
    run -0 coracle network prune -f
    assert_eq "$output" $'Deleted Networks:\nunused-net'
    run -0 coracle system prune -f
    assert_output_has "Deleted Containers:"
    assert_output_has $'Deleted Networks:\nused-net\n'
    assert_eq "${lines[-1]}" "Total reclaimed space: 0B"
    coracle image inspect busybox >/dev/null
}

@test "prune tells events" {
    since=$(date +%s.%N)
    coracle system prune -f
    run -0 coracle events --since "$since" --until 0s -f event=prune --format '{{.Type}} {{.Actor.Attributes.reclaimed}}'
    assert_eq "$(tail -4 <<<"$output")" $'container 0\nnetwork 0\nimage 0\nbuilder 0'
}

@test "after system prune -a nothing is left on the disk but the store's own files" {
    coracle run --network none busybox sh -c 'head -c 1000000 /dev/urandom >/file'
    printf 'FROM busybox\nRUN head -c 1000000 /dev/urandom >/file\nRUN echo 1 >/one\n' | coracle build -q -t built - >/dev/null
    coracle system prune -af
    for dir in containers layers images refs blobs/sha256 names; do
        wait_for eval "[ -z \"\$(ls '$STORE/$dir')\" ]" || fail "left in $dir: $(ls "$STORE/$dir")"
    done
    image busybox
}
