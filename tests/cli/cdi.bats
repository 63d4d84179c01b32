#!/usr/bin/env bats
# Devices by the Container Device Interface: files, edits, hooks, --gpus, and what is refused.
load ../lib/common
file_setup() {
    image busybox
    export XDG_CONFIG_HOME=$HOME/.config
    mkdir -p "$XDG_CONFIG_HOME/cdi" "$XDG_RUNTIME_DIR/cdi" "$CTR_HOME/driver"
    echo library >"$CTR_HOME/driver/lib.so"
    # writes down what it was given, and what it finds at the container's root, through the bundle's configuration
    cat >"$CTR_HOME/hook" <<'SH'
#!/bin/sh
state=$(cat)
bundle=$(printf %s "$state" | sed 's/.*"bundle":"\([^"]*\)".*/\1/')
status=$(printf %s "$state" | sed 's/.*"status":"\([^"]*\)".*/\1/')
root=$bundle/$(sed -n 's/.*"root": *{"path": *"\([^"]*\)".*/\1/p' "$bundle/config.json" 2>/dev/null)
echo "$1 $status $HOOKED $(ls -d "$root/bin/busybox" 2>/dev/null | sed 's|.*/bin/|bin/|')" >>"$OUT"
[ "$1" != createContainer ] || echo hooked >"$root/etc/hooked"
SH
    chmod +x "$CTR_HOME/hook"
    hook() { printf '{"hookName":"%s","path":"%s","args":["hook","%s"],"env":["PATH=/bin:/usr/bin","HOOKED=yes","OUT=%s"],"timeout":20}' "$1" "$CTR_HOME/hook" "$1" "$CTR_HOME/hooks"; }
    cat >"$XDG_CONFIG_HOME/cdi/vendor.json" <<JSON
{"cdiVersion":"0.8.0","kind":"vendor.com/net-card","annotations":{"a":"b"},
 "containerEdits":{"env":["VENDOR=all","BOTH=file"],"mounts":[{"hostPath":"$CTR_HOME/driver","containerPath":"/usr/lib/driver","options":["ro","nosuid","rbind"]}]},
 "devices":[
  {"name":"one","containerEdits":{"env":["ONE=1","BOTH=one"],"deviceNodes":[{"path":"/dev/card0","hostPath":"/dev/zero","type":"c","major":1,"minor":5,"permissions":"rw"}],"additionalGIDs":[0,44]}},
  {"name":"two","containerEdits":{"env":["TWO=2"],"mounts":[{"containerPath":"/scratch","type":"tmpfs","options":["size=1m","mode=700"]}]}},
  {"name":"hooked","containerEdits":{"hooks":[$(hook createRuntime),$(hook createContainer),$(hook poststart),$(hook poststop)]}}]}
JSON
    cat >"$XDG_CONFIG_HOME/cdi/nvidia.json" <<'JSON'
{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","containerEdits":{"env":["NVIDIA_VISIBLE_DEVICES=void"]},
 "devices":[{"name":"0","containerEdits":{"env":["GPU0=y"]}},{"name":"1","containerEdits":{"env":["GPU1=y"]}},{"name":"all","containerEdits":{"env":["GPUS=all"]}}]}
JSON
}

in_box() { coracle run --rm --network none "$@"; }

@test "edits of the file and of the device: variables, nodes, mounts, groups" {
    run -0 in_box --device vendor.com/net-card=one -e BOTH=user busybox sh -c 'echo $VENDOR $ONE $TWO $BOTH; cat /usr/lib/driver/lib.so; head -c 3 /dev/card0 | od -An -tx1; id -G; touch /usr/lib/driver/x 2>&1; true'
    [[ $output == "all 1 one"$'\n'library$'\n'" 00 00 00"$'\n'*44* ]] || fail "wrong"
    assert_output_has "Read-only file system"
    run -0 in_box --device vendor.com/net-card=one --device vendor.com/net-card=two busybox sh -c 'echo $VENDOR $ONE $TWO; grep -c "/usr/lib/driver" /proc/mounts; stat -c %a /scratch'
    assert_eq "$output" $'all 1 2\n1\n700'
    # a later exec has the variables, too, and a path is a path still
    coracle run -d --network none --name dev --device vendor.com/net-card=two --device /dev/zero:/dev/nought busybox sleep 1000
    assert_eq "$(coracle exec dev sh -c 'echo $TWO; ls /dev/nought')" $'2\n/dev/nought'
    assert_eq "$(coracle inspect -f '{{json .HostConfig.DeviceRequests}}' dev)" '[{"Driver":"cdi","Count":0,"DeviceIDs":["vendor.com/net-card=two"],"Capabilities":null,"Options":null}]'
    coracle rm -f dev
}

@test "hooks run at their places, as the user, and find the container's root" {
    run -0 in_box --device vendor.com/net-card=hooked busybox cat /etc/hooked
    assert_eq "$output" hooked
    ended() { grep -q poststop "$CTR_HOME/hooks"; }
    wait_for ended
    assert_eq "$(cat "$CTR_HOME/hooks")" $'createRuntime creating yes \ncreateContainer creating yes bin/busybox\npoststart running yes \npoststop stopped yes '
}

@test "files in YAML, as vendors write them" {
    cat >"$XDG_RUNTIME_DIR/cdi/made.yaml" <<YAML
---
cdiVersion: 0.5.0
kind: made.org/by-tool
containerEdits:
  env:
  - MADE=void
  hooks:
  - args:
    - hook
    - createContainer
    env: [PATH=/bin:/usr/bin, HOOKED=yaml, "OUT=$CTR_HOME/yaml"]
    hookName: createContainer
    path: $CTR_HOME/hook
    timeout: 20
  mounts:
  - containerPath: /usr/lib/driver
    hostPath: $CTR_HOME/driver
    options: [ro, nosuid, rbind]
devices:
- containerEdits:
    additionalGIDs: [44]
    deviceNodes:
    - hostPath: /dev/zero
      path: /dev/card0
      major: 1
      minor: 5
      fileMode: 438
  name: 0
- containerEdits: {env: [ALL=yes]}
  name: "all"
YAML
    if ! python3 -c 'import ctypes; ctypes.CDLL("libyaml-0.so.2")' 2>/dev/null; then # not a part of every system
        refused 'made.yaml: YAML is read by libyaml, which is not available' --device made.org/by-tool=0
        rm "$XDG_RUNTIME_DIR/cdi/made.yaml"
        return
    fi
    run -0 in_box --device made.org/by-tool=0 --device made.org/by-tool=all busybox sh -c 'echo $MADE $ALL; cat /usr/lib/driver/lib.so /etc/hooked; head -c 3 /dev/card0 | od -An -tx1; id -G'
    [[ $output == "void yes"$'\n'library$'\n'hooked$'\n'" 00 00 00"$'\n'*44* ]] || fail "wrong"
    printf 'cdiVersion: 0.8.0\nkind: &a x.org/y\n' >"$XDG_RUNTIME_DIR/cdi/made.yaml"
    refused 'made.yaml: line 2: anchors and tags are not read' --device x.org/y=z
    rm "$XDG_RUNTIME_DIR/cdi/made.yaml"
}

@test "--gpus: by the vendor's file, in docker's grammar" {
    assert_eq "$(in_box --gpus all busybox sh -c 'echo $NVIDIA_VISIBLE_DEVICES $GPUS $GPU0')" "void all"
    assert_eq "$(in_box --gpus 2 busybox sh -c 'echo $GPUS $GPU0 $GPU1')" "y y"
    assert_eq "$(in_box --gpus '"device=1"' busybox sh -c 'echo $GPU0 $GPU1')" y
    assert_eq "$(in_box --gpus 'driver=nvidia,"capabilities=compute,utility",count=1' busybox sh -c 'echo $GPU0 $GPU1')" y
    coracle create --name gpu --gpus all busybox true
    assert_eq "$(coracle inspect -f '{{json .HostConfig.DeviceRequests}}' gpu)" '[{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}]'
    coracle rm gpu
    refused 'unresolvable CDI devices nvidia.com/gpu=2' --gpus 3
    refused 'could not select device driver "amd" with capabilities: [[gpu]]' --gpus driver=amd
    refused 'invalid count (x): value must be either "all" or an integer' --gpus x
    refused "unexpected key 'foo' in 'foo=1'" --gpus foo=1
    refused "gpu request key 'count' can be specified only once" --gpus count=1,count=2
}

refused() {
    local want=$1
    shift
    run coracle create "$@" busybox true
    [ "$status" != 0 ] || fail "accepted: $*"
    assert_output_has "$want"
}

@test "what no file has, what files say twice, and what only root could do" {
    local dir=$XDG_RUNTIME_DIR/cdi
    refused 'CDI device injection failed: unresolvable CDI devices vendor.com/net-card=three' --device vendor.com/net-card=three
    assert_output_has "$XDG_CONFIG_HOME/cdi"
    # the later directory goes first
    printf '{"cdiVersion":"0.6.0","kind":"vendor.com/net-card","devices":[{"name":"one","containerEdits":{"env":["ONE=later"]}}]}' >"$dir/a.json"
    assert_eq "$(in_box --device vendor.com/net-card=one busybox sh -c 'echo $ONE $VENDOR')" later
    cp "$dir/a.json" "$dir/b.json"
    refused "two files of $dir have the device vendor.com/net-card=one" --device vendor.com/net-card=one
    rm "$dir"/*
    broken() {
        printf '{"cdiVersion":"%s","kind":"x.org/y","devices":[{"name":"z","containerEdits":{%s}}]}' "${3:-0.8.0}" "$1" >"$dir/x.json"
        refused "$2" --device x.org/y=z
    }
    broken '"intelRdt":{"closID":"q"}' '"intelRdt" of containerEdits is not for users without root'
    broken '"env":["x"]' 'a variable is not NAME=VALUE'
    broken '"mounts":[{"hostPath":"x","containerPath":"/y"}]' 'hostPath is not an absolute path'
    broken '"hooks":[{"hookName":"other","path":"/bin/true"}]' 'there is no hook "other"'
    broken '' 'cdiVersion 9.9.9' 9.9.9
    echo '{' >"$dir/x.json"
    refused "$dir/x.json" --device x.org/y=z
    head -c 1100000 /dev/zero | tr '\0' '#' >"$dir/x.yaml"
    refused "$dir/x.yaml" --device x.org/y=z
    rm "$dir/x.yaml"
    mkfifo "$dir/x.yaml"
    refused "$dir/x.yaml" --device x.org/y=z
    rm "$dir"/*
    refused 'duplicate mount point: /usr/lib/driver is a CDI device' --device vendor.com/net-card=one -v /etc:/usr/lib/driver
    mkdir -p "$XDG_CONFIG_HOME/coracle"
    echo '{"cdi-spec-dirs": ["/nonexistent"]}' >"$XDG_CONFIG_HOME/coracle/config.json"
    refused 'no file in /nonexistent has it' --device vendor.com/net-card=one
    rm "$XDG_CONFIG_HOME/coracle/config.json"
}
