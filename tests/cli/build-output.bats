#!/usr/bin/env bats
# build: where the result goes: files, directories, archives, registries; what is told of it; two builds, one digest.
load ../lib/common
load ../lib/containers
load ../lib/builds
load ../lib/registry

file_setup() { image busybox >/dev/null; registry_start plain; }
file_teardown() { registry_stop_all; }

@test "--output: a directory, tars, archives of images; what was only written is no image afterwards" {
    n=$(unique)
    printf 'FROM busybox AS a\nRUN mkdir /d && echo x >/d/f && chown 3:4 /d/f && chmod 4750 /d/f && ln -s f /d/l\nFROM scratch\nCOPY --from=a /d /d\nENV N=%s\n' "$n" >Dockerfile
    before=$(coracle images -aq --no-trunc | sort)
    coracle build -q -o out . >log 2>&1
    assert_eq "$(cat log)" ""
    assert_eq "$(cat out/d/f)$(readlink out/d/l)$(stat -c %u out/d/f)" "xf$(id -u)"
    coracle build -q --output type=local,dest=out2 --output "type=tar,dest=out.tar" . >/dev/null
    assert_eq "$(cd out2 && find . | sort | paste -sd ' ')" ". ./d ./d/f ./d/l"
    assert_eq "$(tar --numeric-owner -tvf out.tar | sed -n 's/ \+/ /gp' | cut -d' ' -f1,2,6- | grep 'd/f')" "-rwsr-x--- 3/4 d/f"
    coracle build -q -o - . 2>/dev/null | tar -tf - | grep -qx 'd/f'
    coracle build -q -t "$n:1" -o type=oci,dest=oci.tar -o type=docker,dest=docker.tar -o type=oci,tar=false,dest=layout . >/dev/null
    assert_eq "$(coracle images -aq --no-trunc | sort)" "$before"
    for archive in "oci-archive:oci.tar" "docker-archive:docker.tar" "oci:layout"; do
        id=$(coracle pull -q "$archive")
        assert_eq "$(coracle image inspect "$id" | jq -c '.[0].Config.Env[-1]')" "\"N=$n\""
    done
    coracle load -q -i docker.tar
    assert_eq "$(coracle images -q "$n:1" | wc -l)" 1
    coracle build -q --output type=cacheonly . >/dev/null
    while IFS='|' read -r args want; do
        run -1 coracle build $args .
        assert_output_has "$want"
    done <<'E'
-o type=local|dest is required for local exporter
-o dest=x,|invalid value
-o dest=x|type is required for output
-o type=what|exporter "what" could not be found
-o type=tar|dest is required for type tar
-o type=image,dest=x|dest not supported
-o type=oci,dest=x,what=1|there is no option what=1
-o type=oci,dest=x,tar=maybe|non-bool value
-o type=local,dest=x,push=true|push is for type=image
--push|tag is needed when pushing to registry
--annotation x|invalid annotation "x"
--annotation index:a=b|has a manifest and no index
E
}

@test "--push, --load, --annotation, --iidfile, --metadata-file: a registry gets what is told of it" {
    n=$(unique)
    REGISTRY=$(registry_addr plain)
    printf 'FROM busybox\nENV N=%s\n' "$n" >Dockerfile
    coracle build -q --push --annotation org.example=1 --annotation manifest:b=c -t "$REGISTRY/$n:1" --iidfile id --metadata-file meta . >/dev/null
    curl -sf -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$REGISTRY/v2/$n/manifests/1" >manifest
    assert_eq "$(jq -c .annotations manifest)" '{"org.example":"1","b":"c"}'
    assert_eq "$(jq -r .config.digest manifest)" "$(cat id)"
    assert_eq "$(jq -r '."containerimage.config.digest"' meta)" "$(cat id)"
    jq -e '."containerimage.digest" | startswith("sha256:")' meta >/dev/null
    coracle build -q -o "type=registry,name=$REGISTRY/$n:2" . >/dev/null
    curl -sf -o /dev/null -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$REGISTRY/v2/$n/manifests/2"
    coracle build -q -o "type=image,name=$n:3,push=false" --load -t "$n:4" . >/dev/null
    assert_eq "$(coracle images -q --no-trunc "$n:3")" "$(coracle images -q --no-trunc "$n:4")"
}

# on_day DAY NAME [OPTION…]: builds files of that day, all anew; $T/id has the image's id.
on_day() {
    local day=$1 name=$2
    shift 2
    rm -rf "$T/files"
    mkdir -p "$T/files/d"
    echo a >"$T/files/f"
    echo b >"$T/files/d/b"
    touch -d @1000 "$T/files/old"
    ln -s f "$T/files/link"
    ln "$T/files/f" "$T/files/hard"
    touch -hd "$day" "$T/files"/{f,d/b,link,d}
    SOURCE_DATE_EPOCH=1600000000 build "$name" --no-cache --iidfile "$T/id" "$@" <<'E'
FROM busybox
COPY files /files
ADD files/f /added/
RUN cp -a /files /copied && rm -r /home && mkdir /home && touch -r /files/f /home /etc /copied/new && rm /etc/passwd
WORKDIR /work
COPY <<X /text
x
X
E
}

@test "SOURCE_DATE_EPOCH and rewrite-timestamp: a build of another day is the same image" {
    n=$(unique)
    on_day 2023-01-01 "$n" -o type=image,rewrite-timestamp=true
    mv "$T/id" "$T/first"
    on_day 2024-02-02 "$n" -o type=image,rewrite-timestamp=true
    assert_eq "$(cat "$T/id")" "$(cat "$T/first")"
    run -0 in_image "$n" busybox stat -c '%n %Y' /files/f /files/old /files/d /copied/link /work /text /added/f
    assert_eq "$output" "/files/f 1600000000
/files/old 1000
/files/d 1600000000
/copied/link 1600000000
/work 1600000000
/text 0
/added/f 1600000000"
    assert_eq "$(coracle image inspect -f '{{.Created}}' "$n")" 2020-09-13T12:26:40Z
    coracle system check >/dev/null
    # without it only what is said of the image follows the variable
    on_day 2023-01-01 "$n"
    mv "$T/id" "$T/first"
    on_day 2024-02-02 "$n"
    run ! cmp -s "$T/id" "$T/first"
    # and what is in the cache has the times that it has
    build "$n" <<<'FROM busybox
RUN true >/x'
    SOURCE_DATE_EPOCH=1600000000 build "$n" -o type=image,rewrite-timestamp=true <<<'FROM busybox
RUN true >/x'
    assert_eq "$(in_image "$n" busybox stat -c %Y /x)" 1600000000
}
