#!/usr/bin/env bats
# inspect: docker's shape, as the tools that read it expect it, and formats.
load ../lib/common

file_setup() {
    image busybox
    mkdir "$TMPDIR/src"
    coracle run -d --name full -h box -e A=b -u 1000:50 -w /tmp --label l1=v1 --restart no --stop-signal INT --stop-timeout 7 \
        --cap-add NET_ADMIN --cap-drop MKNOD --security-opt no-new-privileges --read-only --tmpfs /run:size=1m --shm-size 8m \
        -v "$TMPDIR/src:/data:ro" --mount "type=bind,src=$TMPDIR/src,dst=/more" --ulimit nofile=10:20 \
        --add-host db:10.0.0.9 --dns 1.2.3.4 --dns-search example.org --group-add video --init --pid host --ipc private -it \
        --log-opt max-size=1m --log-opt max-file=2 --network host --entrypoint sleep --annotation n=o busybox 100000 >/dev/null
    coracle inspect full | jq '.[0]' >"$TMPDIR/full.json"
    coracle run --name ended busybox sh -c 'exit 3' || true
}

has() { jq -e "$1" "$TMPDIR/full.json" >/dev/null || fail "not so: $1" "$(jq -c . "$TMPDIR/full.json" | cut -c1-400)"; }

@test "an array of one object for each name, valid JSON, with docker's top-level keys" {
    run -0 bash -c "coracle inspect full ended | jq -e 'length == 2 and .[0].Name == \"/full\" and .[1].Name == \"/ended\"'"
    for k in Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver Platform \
        MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver Mounts Config NetworkSettings; do
        has "has(\"$k\")"
    done
    has '.Id | test("^[0-9a-f]{64}$")'
    has '.Image | test("^sha256:[0-9a-f]{64}$")'
    has '.Created | test("^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$")'
    has '.Path == "sleep" and .Args == ["100000"]'
}

@test "State" {
    has '.State | .Status == "running" and .Running and (.Paused | not) and (.Restarting | not) and (.OOMKilled | not) and (.Dead | not)'
    has '.State | .Pid > 0 and .ExitCode == 0 and .Error == ""'
    has '.State.StartedAt | test("^2[0-9]{3}-")'
    has '.State.FinishedAt == "0001-01-01T00:00:00Z"'
    coracle inspect ended | jq -e '.[0].State | .Status == "exited" and (.Running | not) and .Pid == 0 and .ExitCode == 3 and (.FinishedAt | test("^2"))'
    coracle create --name never busybox >/dev/null
    coracle inspect never | jq -e '.[0].State | .Status == "created" and .StartedAt == "0001-01-01T00:00:00Z"'
    coracle rm never
}

@test "Config" {
    has '.Config | .Hostname == "box" and .User == "1000:50" and .WorkingDir == "/tmp" and .Image == "busybox"'
    has '.Config.Env | index("A=b") and index("FROM_IMAGE=yes")'
    has '.Config.Labels == {"l1": "v1"}'
    has '.Config | .Tty and .OpenStdin and .Entrypoint == ["sleep"] and .Cmd == ["100000"]'
    has '.Config | .StopSignal == "INT" and .StopTimeout == 7'
    has '.Config | has("AttachStdin") and has("AttachStdout") and has("AttachStderr") and has("Domainname") and has("StdinOnce")'
}

@test "HostConfig" {
    has '.HostConfig.Binds | length == 1 and (.[0] | endswith(":/data:ro"))'
    has '.HostConfig | .NetworkMode == "host" and .ReadonlyRootfs and .ShmSize == 8388608 and .PidMode == "host" and .IpcMode == "private"'
    has '.HostConfig.CapAdd | length == 1 and (.[0] | endswith("NET_ADMIN"))'
    has '.HostConfig.CapDrop | length == 1 and (.[0] | endswith("MKNOD"))'
    has '.HostConfig.SecurityOpt == ["no-new-privileges"]'
    has '.HostConfig.Tmpfs == {"/run": "size=1m"}'
    has '.HostConfig.Ulimits == [{"Name": "nofile", "Hard": 20, "Soft": 10}]'
    has '.HostConfig.ExtraHosts == ["db:10.0.0.9"]'
    has '.HostConfig | .Dns == ["1.2.3.4"] and .DnsSearch == ["example.org"] and .GroupAdd == ["video"]'
    has '.HostConfig.LogConfig == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}'
    has '.HostConfig.RestartPolicy | .Name == "no"'
    has '.HostConfig | .Init == true and .AutoRemove == false and .Privileged == false'
    has '.HostConfig | has("Memory") and has("NanoCpus") and has("PortBindings") and has("MaskedPaths") and has("ReadonlyPaths") and has("Devices")'
}

@test "Mounts and NetworkSettings" {
    has '.Mounts | length >= 2 and all(has("Type") and has("Source") and has("Destination") and has("RW") and has("Mode") and has("Propagation"))'
    has '.Mounts | map(select(.Destination == "/data"))[0] | .Type == "bind" and .RW == false and (.Source | endswith("/src"))'
    has '.Mounts | map(select(.Destination == "/more"))[0] | .Type == "bind" and .RW == true'
    has '.NetworkSettings.Networks | has("host")'
    has '.NetworkSettings | has("Ports") and has("IPAddress") and has("Gateway") and has("MacAddress")'
}

@test "the paths that it names are there" {
    for k in LogPath HostsPath ResolvConfPath HostnamePath; do
        [ -e "$(jq -r ".$k" "$TMPDIR/full.json")" ] || fail "$k"
    done
    [ -d "$(jq -r .GraphDriver.Data.UpperDir "$TMPDIR/full.json")" ]
}

@test "-f: fields, index, range, if, json, functions, and errors in docker's words" {
    assert_eq "$(coracle inspect -f '{{.Name}} {{.State.Running}} {{.HostConfig.ShmSize}}' full)" "/full true 8388608"
    assert_eq "$(coracle inspect -f '{{json .Config.Labels}}' full)" '{"l1":"v1"}'
    assert_eq "$(coracle inspect -f '{{index .Config.Labels "l1"}} {{index .Args 0}}' full)" "v1 100000"
    assert_eq "$(coracle inspect -f '{{range .Mounts}}{{.Destination}};{{end}}' full)" "/data;/more;"
    assert_eq "$(coracle inspect -f '{{if eq .State.Status "running"}}yes{{else}}no{{end}}' full)" yes
    assert_eq "$(coracle inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}' full)" host
    assert_eq "$(coracle inspect -f '{{join .Args ","}} {{upper .Name}} {{len .Mounts}} {{printf "%d-%s" .State.Pid "x"}}' full)" "100000 /FULL 2 $(coracle inspect -f '{{.State.Pid}}' full)-x"
    assert_eq "$(coracle inspect -f '{{.Name}}' full ended)" $'/full\n/ended'
    coracle inspect -f json full | jq -e '.[0].Name == "/full"'
    run coracle inspect -f '{{.Name' full
    [ "$status" != 0 ]
    assert_output_has 'template'
    run coracle inspect -f '{{nosuch .Name}}' full
    [ "$status" != 0 ]
    assert_output_has 'function "nosuch" not defined'
}

@test "what is missing: the others are printed, exit 1" {
    run --separate-stderr coracle inspect full nosuch ended
    assert_status 1
    jq -e 'length == 2' <<<"$output"
    assert_eq "$stderr" "coracle: No such object: nosuch"
    run --separate-stderr coracle inspect nosuch
    assert_status 1
    assert_eq "$output" "[]"
    run coracle container inspect nosuch
    assert_status 1
    assert_output_has 'No such container: nosuch'
    run coracle inspect --type image full
    assert_status 1
    run coracle inspect --type bogus full
    assert_status 1
    assert_output_has 'bogus'
}

@test "inspect finds images too, containers first" {
    coracle inspect busybox | jq -e '.[0] | has("RepoTags") and has("RootFS") and .Architecture and .Os == "linux"'
    coracle create --name busybox busybox true >/dev/null
    assert_eq "$(coracle inspect -f '{{.Name}}' busybox)" /busybox
    coracle inspect --type image busybox | jq -e '.[0] | has("RepoTags")'
    coracle rm busybox
}

@test "-s adds the size of what was written" {
    coracle run --name writes busybox dd if=/dev/zero of=/root/f bs=1000 count=100 2>/dev/null
    coracle inspect -s writes | jq -e '.[0].SizeRw >= 100000 and .[0].SizeRw < 200000'
    coracle inspect writes | jq -e '.[0] | has("SizeRw") | not'
    coracle rm writes
}
