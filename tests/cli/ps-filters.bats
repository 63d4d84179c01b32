#!/usr/bin/env bats
# ps --filter: the conditions that look beyond a container's own record, and columns that cost a look of their own.
load ../lib/common

file_setup() { image busybox; }

@test "filters publish and expose: ports, ranges and protocols; either is enough" {
    local tcp udp
    tcp=$(free_port)
    udp=$(free_port)
    coracle run -d --name pub -p "$tcp:80" -p "$udp:53/udp" --expose 7000 busybox sleep 1000
    coracle run -d --name plain --network none busybox sleep 1000
    names() { coracle ps --format '{{.Names}}' "$@" | sort | xargs; }
    assert_eq "$(names -f publish="$tcp")" pub
    assert_eq "$(names -f publish="$tcp/tcp")" pub
    assert_eq "$(names -f publish="$tcp/udp")" ""
    assert_eq "$(names -f publish="$udp/udp")" pub
    assert_eq "$(names -f publish="$((tcp - 9))-$((tcp + 9))")" pub
    assert_eq "$(names -f publish=80)" ""
    assert_eq "$(names -f expose=80)" pub
    assert_eq "$(names -f expose=7000/tcp)" pub
    assert_eq "$(names -f expose=1 -f publish="$tcp")" pub
    assert_eq "$(names -f expose=1 -f publish=1)" ""
    run -1 coracle ps -f publish=8080:80
    assert_output_has "filter for 'publish' should not contain ':': 8080:80"
    run -1 coracle ps -f expose=http
    assert_output_has "error while looking up for expose http"
    coracle rm -f pub plain
}

@test "networks: every one of a container, by name and by id, in the column and the filter" {
    one=$(unique)-1 two=$(unique)-2
    id=$(coracle network create "$one")
    coracle network create "$two"
    coracle create --name both --network "$one" busybox true
    coracle network connect "$two" both
    coracle create --name bridged busybox true
    coracle create --name alone --network none busybox true
    names() { coracle ps -a --format '{{.Names}}' "$@" | sort | xargs; }
    assert_eq "$(coracle ps -a --format '{{.Networks}}' -f name=both)" "$one,$two"
    assert_eq "$(coracle ps -a --format '{{.Networks}}' -f name=bridged)" bridge
    assert_eq "$(coracle ps -a --format '{{.Networks}}' -f name=alone)" none
    assert_eq "$(names -f network="$two")" both
    assert_eq "$(names -f network="$id")" both
    assert_eq "$(names -f network="${id:0:12}")" both
    assert_eq "$(names -f network=bridge)" bridged
    assert_eq "$(names -f network=none -f network="$one")" "alone both"
    coracle rm both bridged alone
    coracle network rm "$one" "$two"
}

@test "before and since may name a container that does not run, and list only what does" {
    coracle create --name first --network none busybox true
    coracle run -d --name second --network none busybox sleep 1000
    coracle create --name third --network none busybox true
    assert_eq "$(coracle ps --format '{{.Names}}' -f since=first)" second
    assert_eq "$(coracle ps -a --format '{{.Names}}' -f since=first)" $'third\nsecond'
    assert_eq "$(coracle ps --format '{{.Names}}' -f before=third)" second
    coracle rm -f first second third
}

@test "several values of status are alternatives, and each must be a state" {
    coracle create --name made --network none busybox true
    coracle run -d --name runs --network none busybox sleep 1000
    assert_eq "$(coracle ps --format '{{.Names}}' -f status=created -f status=running | sort | xargs)" "made runs"
    run -1 coracle ps -f status=running -f status=nonsense
    assert_output_has "status=nonsense"
    run -1 coracle ps -f status=runningx
    assert_eq "$(coracle ps -q -f isolation=hyperv)" ""
    [ -n "$(coracle ps -q -f isolation=default)" ]
    coracle rm -f made runs
}

@test "a format that names .Size gets sizes without --size" {
    coracle run --name sized --network none busybox sh -c 'head -c 40000 /dev/zero >/file'
    run -0 coracle ps -a -f name=sized --format '{{.Size}}'
    [[ $output =~ ^40kB\ \(virtual\ [0-9.]+MB\)$ ]] || fail "no size"
    coracle rm sized
}
