#!/usr/bin/env bats
# ps: the table, formats, filters, counts, and containers whose record is damaged.
load ../lib/common
load ../lib/images

file_setup() {
    image busybox
    coracle tag busybox other:v1
    coracle create --name c-created --label role=db --label tier=back busybox sh -c 'echo a long command line that is cut' >/dev/null
    coracle run --name c-zero --label role=web busybox true
    coracle run --name c-seven --label role=web --label tier=front -v "$TMPDIR:/mnt" busybox sh -c 'exit 7' || true
    coracle run -d --name c-up --label role=db busybox sleep 100000 >/dev/null
    coracle run -d --name c-up2 --network host other:v1 sleep 100000 >/dev/null
}

names() { coracle ps --format '{{.Names}}' "$@" | paste -sd' '; }

@test "without flags: what runs, newest first; -a everything" {
    assert_eq "$(names)" "c-up2 c-up"
    assert_eq "$(names -a)" "c-up2 c-up c-seven c-zero c-created"
}

@test "the table has docker's columns, padded by three, at least ten wide" {
    run -0 coracle ps -a
    [[ ${lines[0]} =~ ^'CONTAINER ID   IMAGE      COMMAND                  CREATED'\ +'STATUS'\ +'PORTS     NAMES'$ ]] || fail "header"
    for col in IMAGE COMMAND CREATED STATUS PORTS NAMES; do
        prefix=${lines[0]%%"$col"*}
        for l in "${lines[@]:1}"; do # each cell begins under its title, after spaces
            [ "${l:${#prefix}-1:1}" = " " ] || fail "column $col is crooked: $l"
        done
    done
    for l in "${lines[@]}"; do [[ $l != *[[:space:]] ]] || [[ $l == *NAMES ]] || fail "ends with a space: '$l'"; done
    assert_output_has '"sh -c '"'"'echo a long …"'
    assert_output_has 'Exited (7) '
    assert_output_has 'Exited (0) '
    assert_output_has 'Created'
    assert_output_has 'Up '
}

@test "no containers: the header alone" {
    run -0 coracle --root "$CTR_HOME/empty" ps
    assert_eq "$output" "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES"
    run -0 coracle --root "$CTR_HOME/empty" ps -q
    assert_eq "$output" ""
}

@test "-q prints short ids, --no-trunc whole ones and whole commands" {
    run -0 coracle ps -aq
    assert_eq "${#lines[@]}" 5
    for l in "${lines[@]}"; do [[ $l =~ ^[0-9a-f]{12}$ ]] || fail "$l"; done
    run -0 coracle ps -aq --no-trunc
    for l in "${lines[@]}"; do [[ $l =~ ^[0-9a-f]{64}$ ]] || fail "$l"; done
    run -0 coracle ps -a --no-trunc --filter name=c-created
    assert_output_has '"sh -c '"'"'echo a long command line that is cut'"'"'"'
}

@test "-n and -l: the last ones, whatever their state" {
    assert_eq "$(names -n 3)" "c-up2 c-up c-seven"
    assert_eq "$(names -n 0)" ""
    assert_eq "$(names -n 100)" "c-up2 c-up c-seven c-zero c-created"
    assert_eq "$(names -l)" c-up2
    assert_eq "$(names -n 1 --filter status=exited)" c-seven
}

@test "-s shows what the container wrote and its virtual size" {
    coracle exec c-up dd if=/dev/zero of=/root/big bs=1000 count=500 2>/dev/null
    run -0 coracle ps -s --filter name=c-up$
    assert_output_has SIZE
    [[ $output =~ 5[0-9][0-9](\.[0-9]+)?kB\ \(virtual\ [0-9.]+MB\) ]] || fail "size"
}

@test "filters: name, id, status, exited, label, ancestor, before, since, volume, network" {
    id=$(coracle inspect -f '{{.Id}}' c-zero)
    assert_eq "$(names -a -f name=c-z)" c-zero
    assert_eq "$(names -a -f name=up)" "c-up2 c-up"
    assert_eq "$(names -a -f "name=^c-up$")" c-up
    assert_eq "$(names -a -f name=/c-zero)" c-zero
    assert_eq "$(names -a -f "id=${id:0:12}")" c-zero
    assert_eq "$(names -f status=created)" c-created
    assert_eq "$(names -f status=exited)" "c-seven c-zero"
    assert_eq "$(names -f status=exited -f status=created)" "c-seven c-zero c-created"
    assert_eq "$(names -f status=running)" "c-up2 c-up"
    assert_eq "$(names -a -f exited=7)" c-seven
    assert_eq "$(names -f exited=0)" c-zero
    assert_eq "$(names -a -f label=role)" "c-up c-seven c-zero c-created"
    assert_eq "$(names -a -f label=role=web)" "c-seven c-zero"
    assert_eq "$(names -a -f label=role=web -f label=tier=front)" c-seven
    assert_eq "$(names -a -f label=role=web -f status=running)" ""
    assert_eq "$(names -a -f ancestor=other:v1)" "c-up2 c-up c-seven c-zero c-created" # one image, two names
    assert_eq "$(names -a -f ancestor=nosuch -f ancestor=busybox)" "c-up2 c-up c-seven c-zero c-created"
    assert_eq "$(names -a -f "ancestor=$(coracle inspect -f '{{.Image}}' c-up | cut -c8-19)")" "c-up2 c-up c-seven c-zero c-created"
    assert_eq "$(names -a -f ancestor=nosuch)" ""
    assert_eq "$(names -a -f before=c-seven)" "c-zero c-created"
    assert_eq "$(names -a -f since=c-seven)" "c-up2 c-up"
    assert_eq "$(names -a -f volume=/mnt)" c-seven
    assert_eq "$(names -a -f "volume=$TMPDIR")" c-seven
    assert_eq "$(names -a -f network=host)" c-up2
}

@test "ancestor finds what was made from an image, and from images built on it" {
    for n in 1 2; do
        tar -C "$(layout built-$n --layers "$n")" -c . | coracle load >"$BATS_TEST_TMPDIR/loaded"
        id=$(grep -o '[0-9a-f]\{64\}' "$BATS_TEST_TMPDIR/loaded") || id=$(coracle inspect -f '{{.Id}}' latest | cut -c8-)
        coracle tag "$id" "built:$n"
        coracle create --name "on-$n" "built:$n" true >/dev/null
    done
    assert_eq "$(names -a -f ancestor=built:1)" "on-2 on-1"
    assert_eq "$(names -a -f ancestor=built:2)" "on-2"
    coracle rm on-1 on-2
}

@test "filters that make no sense are refused" {
    for bad in nosuch=1 status=bogus before=nosuch exited=x; do
        run coracle ps -a -f "$bad"
        assert_status 1
        [ -n "$output" ] || fail "no reason"
    done
    run coracle ps -f nosuch=1
    assert_output_has "invalid filter 'nosuch'"
    run coracle ps -f name
    assert_status 125
    assert_output_has 'bad format of filter (expected name=value)'
}

@test "--format: templates, table templates, json" {
    assert_eq "$(coracle ps -a -f name=c-seven --format '{{.Image}}|{{.Command}}|{{.State}}|{{.Label "tier"}}|{{.Networks}}')" "busybox|\"sh -c 'exit 7'\"|exited|front|bridge"
    run -0 coracle ps -a -f name=c-seven --format 'table {{.Names}}\t{{.State}}'
    assert_eq "$output" $'NAMES     STATE\nc-seven   exited'
    assert_eq "$(coracle ps -a -f name=c-seven --format '{{json .Names}} {{upper .State}} {{len .ID}}')" '"c-seven" EXITED 12'
    coracle ps -a --format json >"$BATS_TEST_TMPDIR/j"
    assert_eq "$(wc -l <"$BATS_TEST_TMPDIR/j")" 5
    jq -e -s 'all(has("ID") and has("Names") and has("Image") and has("Command") and has("CreatedAt") and has("RunningFor") and has("Status") and has("State") and has("Ports") and has("Labels") and has("Mounts") and has("Networks") and has("Size") and has("LocalVolumes"))' "$BATS_TEST_TMPDIR/j"
    jq -e -s 'all(.[]; .CreatedAt | test("^2[0-9-]{9} [0-9:]{8} [+-][0-9]{4} ([A-Z]+|[+-][0-9]{2,4})$"))' "$BATS_TEST_TMPDIR/j"
    jq -e -s 'map(select(.Names == "c-seven"))[0].Labels | split(",") | sort == ["role=web", "tier=front"]' "$BATS_TEST_TMPDIR/j"
    run coracle ps --format '{{.Names'
    assert_status 1
}

@test "an escape sequence in a label or command does not reach the terminal" {
    coracle create --name evil --label "x=$(printf 'a\033[2Jb')" busybox printf "$(printf '\033]0;t\007')" >/dev/null
    run -0 coracle ps -a --no-trunc --filter name=evil --format '{{.Labels}} {{.Command}}'
    [[ $output != *$'\033'* && $output != *$'\007'* ]] || fail "control characters"
    coracle rm evil
}

@test "a damaged record is skipped and named, the others are shown" {
    id=$(coracle create --name broken busybox true)
    coracle start -a broken
    for damage in 'echo garbage' 'printf ""' 'head -c 100 "$f.good"' "echo '[]'" "printf '{\"a\":%0100000d' 1"; do
        for file in container.json state.json; do
            f=$STORE/containers/$id/$file
            cp "$f" "$f.good"
            bash -c "f='$f'; $damage" >"$f.bad"
            mv "$f.bad" "$f"
            run --separate-stderr coracle ps -a --format '{{.Names}}'
            assert_status 0
            [[ $output == $'c-up2\nc-up\nc-seven\nc-zero\nc-created' || $output == *broken* ]] || fail "the others are not all there ($damage of $file)"
            [[ $output == *broken* ]] || [[ $stderr == *"${id:0:12}"* ]] || fail "the damaged one is not named: $stderr ($damage of $file)"
            mv "$f.good" "$f"
        done
    done
    assert_eq "$(names -a -f name=broken)" broken
    mv "$STORE/containers/$id/state.json" "$STORE/containers/$id/state.json.away"
    run -0 coracle ps -a
    assert_output_has c-zero
    mv "$STORE/containers/$id/state.json.away" "$STORE/containers/$id/state.json"
    coracle rm broken
}

@test "a container with a damaged record can still be removed" {
    id=$(coracle create --name torn busybox true)
    echo garbage >"$STORE/containers/$id/state.json"
    run coracle rm -f torn
    [ ! -e "$STORE/containers/$id" ] || fail "it cannot be removed"
    coracle create --name torn busybox true
    coracle rm torn
}

# What a list of all containers takes: reads, and microseconds of processor time, the least of five.
work() {
    python3 - <<'P'
import resource, subprocess
def now():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open("/proc/self/io") as f:  # with those of children that have ended
        return int(dict(line.split(": ") for line in f)["syscr"]), round((used.ru_utime + used.ru_stime) * 1e6)
def one():
    reads, time = now()
    subprocess.run(["coracle", "ps", "-aq"], stdout=subprocess.DEVNULL, check=True)
    return [b - a for a, b in zip((reads, time), now())]
print(*map(min, zip(*(one() for _ in range(5)))))
P
}

@test "500 containers: ps is quick and complete" {
    make_many() { xargs -P 4 -I N coracle create --name many-N busybox true >/dev/null; }
    seq 50 | make_many
    read -r few_reads few_time < <(work)
    seq 51 500 | make_many
    read -r reads time < <(work)
    assert_eq "$(coracle ps -aq | wc -l)" 505
    # each costs the same, however many there are: nine times as many not twenty times the time, and at most two reads each
    [ "$time" -lt $((20 * few_time)) ] || fail "$time us for 505, $few_time us for 55"
    [ $((reads - few_reads)) -le $((450 * 2)) ] || fail "$((reads - few_reads)) reads for 450 more"
    # shellcheck disable=SC2046
    coracle rm $(coracle ps -aq -f name=many-) >/dev/null
    assert_eq "$(coracle ps -aq | wc -l)" 5
}
