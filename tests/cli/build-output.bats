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

# slowly FILE COMMAND…: its output's first byte makes FILE.begun, the rest is read when FILE.go is there
slowly() {
    local f=$1
    shift
    "$@" 3>&- | { head -c 1 >/dev/null; touch "$f.begun"; until [ -e "$f.go" ]; do sleep 0.02; done; cat >/dev/null; }
}

@test "builds that come to the same image at once: what one only writes is not taken from the other, named, kept or on its way" {
    cd "$BATS_TEST_TMPDIR"
    same() { printf 'FROM busybox\nENV N=%s\n' "$(unique)" >Dockerfile && rm -f ./*.begun ./*.go; }
    before=$(coracle images -aq --no-trunc | sort)

    same # the first, whose image it was, ends while the second has an archive to write
    slowly a coracle build -q -o - . & first=$!
    wait_for test -e a.begun
    slowly b coracle build -q -o - -o type=oci,dest=b.tar . & second=$!
    wait_for test -e b.begun
    touch a.go
    wait $first
    touch b.go
    wait $second
    assert_eq "$(tar -xOf b.tar index.json | jq '.manifests | length')" 1
    assert_eq "$(coracle images -aq --no-trunc | sort)" "$before"

    for how in "" "-t kept-by:other"; do
        same
        slowly a coracle build -q -o - . & first=$!
        wait_for test -e a.begun
        # shellcheck disable=SC2086
        id=$(coracle build -q $how .)
        touch a.go
        wait $first
        coracle image inspect "$id" >/dev/null
        [ -z "$how" ] || assert_eq "$(coracle image inspect -f '{{.Id}}' kept-by:other)" "$id"
        coracle rmi "$id" >/dev/null
    done

    same # one that is killed leaves it to the next
    mkfifo hole
    exec {hole}<>hole
    coracle build -q -o - . 3>&- >&"$hole" & first=$!
    appeared() { [ "$(coracle images -aq --no-trunc | sort)" != "$before" ]; }
    wait_for appeared
    kill -KILL $first
    wait $first || true
    exec {hole}>&-
    same
    coracle build -q -o type=cacheonly .
    assert_eq "$(coracle images -aq --no-trunc | sort)" "$before"
    coracle system check
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

# blob LAYOUT DIGEST
blob() { cat "$1/blobs/sha256/${2#sha256:}"; }
# platforms: of an index on standard input
platforms() { jq -r '.manifests[].platform | .os + "/" + .architecture + (if .variant then "/" + .variant else "" end)' | paste -sd' '; }

@test "--platform a,b: one index, built for each; to the store, a registry, a layout, directories; and from there again" {
    n=$(unique)
    REGISTRY=$(registry_addr plain)
    cat >Dockerfile <<'E'
FROM --platform=$BUILDPLATFORM busybox AS host
RUN head -c 16 /dev/urandom | od -An -tx1 >/once
FROM --platform=$BUILDPLATFORM busybox AS made
ARG TARGETPLATFORM TARGETARCH TARGETVARIANT BUILDPLATFORM
RUN echo "$TARGETPLATFORM $TARGETARCH $TARGETVARIANT $BUILDPLATFORM" >/made
FROM scratch
COPY --from=host /once /
COPY --from=made /made /
CMD ["/none"]
E
    nameless=$(coracle images -aq --filter dangling=true)
    own=linux/$(coracle version -f '{{.Server.Arch}}')
    coracle build --progress plain --platform linux/s390x --platform "$own,linux/arm/7" -t "$REGISTRY/$n:1" --push -o type=oci,dest=l,tar=false -o files -o type=tar,dest=t.tar \
        --annotation index:i=1 --annotation manifest-descriptor:d=2 --iidfile id --metadata-file meta . >log 2>&1 || fail "$(cat log)"
    assert_eq "$(cat files/linux_*/made | sort)" "$(printf '%s\n' "linux/arm/v7 arm v7 $own" "linux/s390x s390x  $own" "$own ${own#*/}  $own" | sort)"
    assert_eq "$(cat files/linux_*/once | sort -u | wc -l)" 1 # of no platform: built once
    assert_eq "$(tar -tf t.tar | grep . | sort | paste -sd' ')" "$(cd files && find . -mindepth 1 \( -type d -printf '%P/\n' -o -printf '%P\n' \) | sort | paste -sd' ')"
    assert_eq "$(tar -xOf t.tar linux_arm_v7/made)" "$(cat files/linux_arm_v7/made)"
    grep -q '\[linux/arm/v7 host 2/2\] RUN head' log
    # the same index everywhere
    index=$(jq -r '."containerimage.digest"' meta)
    assert_eq "$(jq -c '."containerimage.descriptor" | [.mediaType, .digest]' meta)" "[\"application/vnd.oci.image.index.v1+json\",\"$index\"]"
    assert_eq "$(jq -r '.manifests[0].digest' l/index.json)" "$index"
    assert_eq "$(blob l "$index" | platforms)" "linux/s390x $own linux/arm/v7"
    assert_eq "$(blob l "$index" | jq -c '[.annotations, .manifests[0].annotations]')" '[{"i":"1"},{"d":"2"}]'
    assert_eq "$(coracle buildx imagetools inspect --raw "$REGISTRY/$n:1")" "$(blob l "$index")"
    # here it is one image with one name: this machine's
    assert_eq "$(coracle images -q --no-trunc "$REGISTRY/$n")" "$(cat id)"
    assert_eq "$(coracle images -aq --filter dangling=true)" "$nameless"
    assert_eq "$(coracle image inspect -f '{{.Os}}/{{.Architecture}}' "$(cat id)")" "$own"
    # a tag, an archive and back: still the index, and the base of another build
    coracle tag "$REGISTRY/$n:1" "$n:2"
    coracle save -o a.tar "$n:2"
    coracle rmi "$n:2" "$REGISTRY/$n:1" >/dev/null
    assert_eq "$(coracle images -aq --no-trunc | grep -c "$(cat id)")" 0
    coracle load -q -i a.tar
    coracle tag "$n:2" "$REGISTRY/$n:3"
    coracle push -q "$REGISTRY/$n:3"
    assert_eq "$(coracle buildx imagetools inspect --raw "$REGISTRY/$n:3")" "$(blob l "$index")"
    printf 'FROM %s:2\nCOPY --from=%s:2 /made /copied\n' "$n" "$n" | coracle build -q --platform linux/s390x -o f4 -t "$n:4" -o type=image - >/dev/null
    assert_eq "$(cat f4/copied)" "$(cat files/linux_s390x/made)"
    assert_eq "$(coracle image inspect -f '{{.Architecture}} {{.Config.Cmd}}' "$n:4")" "s390x [/none]"
    coracle create --platform linux/arm/v7 --name "$n" "$n:2" >/dev/null
    coracle rm "$n" >/dev/null
}

@test "--platform: what is none; RUN for a machine that cannot be played here" {
    printf 'FROM busybox\nRUN true\n' >Dockerfile
    while IFS='|' read -r args want; do
        run -1 coracle build $args .
        assert_output_has "$want"
    done <<'E'
--platform linux/amd64,linux/x86_64|linux/amd64 stands there twice
--platform linux/amd64,,linux/arm64|nothing between two commas
--platform linux/pdp11|unknown operating system or architecture
--platform plan9/amd64|unknown operating system or architecture
--platform linux/a/b/c|invalid platform
--platform linux/amd64,linux/arm64 -o type=docker,dest=x|does not currently support exporting manifest lists
--platform linux/amd64,linux/arm64 --cache-to type=local,dest=c|the last platform's alone
E
    grep -qs s390x /proc/sys/fs/binfmt_misc/* && return 0
    printf 'FROM scratch\nCOPY Dockerfile /\nRUN ["/true"]\n' >Dockerfile
    run -1 coracle build --progress plain --platform linux/s390x .
    assert_output_has "its programs are for s390x"
    assert_output_has "qemu-user-static"
    assert_output_has '>>> RUN ["/true"]'
}

@test "--squash: the base's layers and one more, which is what there is in the end; the history says so" {
    n=$(unique)
    printf 'FROM busybox\nRUN mkdir /d /o && echo a >/d/a && echo b >/d/b && echo x >/o/x\n' | coracle build -q -t "$n:base" - >/dev/null
    cat >Dockerfile <<E
FROM $n:base
RUN head -c 3000000 /dev/zero >/big && rm /d/b && rm -r /o
RUN rm /big && mkdir /o && echo new >/o/new && ln /o/new /o/hard && chown 7:8 /d/a && rm /etc/passwd && ln -s /d /etc/passwd
ENV A=1
E
    coracle build -q -t "$n:plain" . >/dev/null
    coracle build --progress plain --squash -t "$n:1" . >log 2>&1
    assert_eq "$(grep -c CACHED log)" 2
    layers() { coracle image inspect "$1" | jq -c '.[0].RootFS.Layers'; }
    assert_eq "$(layers "$n:1" | jq -c '.[:-1]')" "$(layers "$n:base")"
    assert_eq "$(coracle image inspect "$n:1" | jq -c '.[0].Config')" "$(coracle image inspect "$n:plain" | jq -c '.[0].Config')"
    look() { coracle run --rm --network none "$1" sh -c 'cd / && ls -A /d /o && cat /o/new && find /d /o /etc /bin/sh -exec stat -c "%n %F %a %u:%g %h %Y" {} + && readlink /etc/passwd'; }
    assert_eq "$(look "$n:1" | grep -v -e resolv.conf -e hosts -e hostname -e mtab)" "$(look "$n:plain" | grep -v -e resolv.conf -e hosts -e hostname -e mtab)"
    coracle save "$n:1" | tar -xO "blobs/sha256/$(coracle save "$n:1" | tar -xO manifest.json | jq -r '.[0].Layers[-1]' | cut -d/ -f3)" >layer.tar
    [ "$(stat -c %s layer.tar)" -lt 100000 ]
    assert_eq "$(tar -tf layer.tar | grep -o '\.wh\..*' | sort | paste -sd' ')" ".wh.b .wh.x"
    base=$(coracle image inspect -f '{{.Id}}' "$n:base")
    assert_eq "$(coracle history --no-trunc --format '{{.Comment}}' "$n:1" | head -1)" "merge $(coracle image inspect -f '{{.Id}}' "$n:plain") to $base"
    assert_eq "$(coracle history --format '{{.Size}}' "$n:1" | sed -n 2,4p | sort -u)" 0B
    # once more: the same image, from the cache; with no step of its own nothing is merged; a base that is a stage is not one
    coracle build -q --squash -t "$n:2" . >/dev/null
    assert_eq "$(layers "$n:2")" "$(layers "$n:1")"
    printf 'FROM %s:base\nENV B=1\n' "$n" | coracle build -q --squash -t "$n:3" - >/dev/null
    assert_eq "$(layers "$n:3")" "$(layers "$n:base")"
    printf 'FROM busybox AS a\nRUN echo 1 >/1\nFROM a\nRUN echo 2 >/2\n' | coracle build -q --squash -t "$n:4" - >/dev/null
    assert_eq "$(layers "$n:4" | jq length)" "$(layers busybox | jq '1 + length')"
    printf 'FROM scratch\nCOPY Dockerfile /a\nCOPY Dockerfile /b\n' >f
    coracle build -q --squash -f f -t "$n:5" . >/dev/null
    assert_eq "$(layers "$n:5" | jq length) $(coracle history --format '{{.Comment}}' "$n:5" | head -1 | cut -d: -f1)" "1 create new from sha256"
}

@test "--provenance, --sbom: statements beside the image, in a registry, a layout and back; no secret in them; never run" {
    n=$(unique)
    REGISTRY=$(registry_addr plain)
    mkdir -p db/dpkg db/apk
    printf 'Package: bash\nStatus: install ok installed\nVersion: 5.2+b1\nArchitecture: amd64\nSource: bash (5.2)\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n' >db/dpkg/status
    printf 'C:Q1x=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\n\n' >db/apk/installed
    cat >Dockerfile <<'E'
FROM busybox
ARG TOKEN
COPY db/dpkg/status /var/lib/dpkg/status
COPY db/apk/installed /lib/apk/db/installed
RUN --mount=type=secret,id=s printf 'ID=debian\nVERSION_ID="12"\n' >/etc/os-release
E
    echo hidden >secret
    attested() {
        SOURCE_DATE_EPOCH=1600000000 coracle build -q --provenance=true --sbom=true --build-arg TOKEN=hidden --label l=hidden --secret id=s,src=secret \
            -t "$REGISTRY/$n:1" --metadata-file meta "$@" . >id
    }
    attested --push -o type=oci,dest=l,tar=false
    index=$(jq -r '."containerimage.digest"' meta)
    blob l "$index" >index
    assert_eq "$(coracle buildx imagetools inspect --raw "$REGISTRY/$n:1")" "$(cat index)"
    assert_eq "$(platforms <index)" "linux/amd64 unknown/unknown"
    image=$(jq -r '.manifests[0].digest' index)
    assert_eq "$(jq -c '.manifests[1].annotations' index)" "{\"vnd.docker.reference.type\":\"attestation-manifest\",\"vnd.docker.reference.digest\":\"$image\"}"
    blob l "$(jq -r '.manifests[1].digest' index)" >manifest
    assert_eq "$(jq -c '[.layers[] | .mediaType, .annotations["in-toto.io/predicate-type"]]' manifest)" \
        '["application/vnd.in-toto+json","https://spdx.dev/Document","application/vnd.in-toto+json","https://slsa.dev/provenance/v0.2"]'
    assert_eq "$(blob l "$(jq -r .config.digest manifest)" | jq -c '[.os, .architecture, (.rootfs.diff_ids | length)]')" '["unknown","unknown",2]'
    blob l "$(jq -r '.layers[0].digest' manifest)" >sbom
    blob l "$(jq -r '.layers[1].digest' manifest)" >provenance
    assert_eq "$(jq -c '[.subject[0].digest.sha256, .predicateType]' sbom)" "[\"${image#sha256:}\",\"https://spdx.dev/Document\"]"
    assert_eq "$(jq -c '[.predicate.packages[1:][].externalRefs[0].referenceLocator]' sbom)" \
        '["pkg:apk/debian/musl@1.2.5-r0?arch=x86_64&distro=debian-12","pkg:deb/debian/bash@5.2%2Bb1?arch=amd64&distro=debian-12"]'
    assert_eq "$(jq -c '[.predicate.spdxVersion, .predicate.creationInfo.created, (.predicate.relationships | length)]' sbom)" '["SPDX-2.3","2020-09-13T12:26:40Z",3]'
    assert_eq "$(jq -r '.predicate.materials[0].uri' provenance)" "pkg:docker/busybox@latest?platform=linux%2Famd64"
    jq -e '.predicate.materials[0].digest.sha256 | length == 64' provenance >/dev/null
    assert_eq "$(jq -c '.predicate.metadata | [.buildStartedOn, .completeness.materials, has("buildInvocationID")]' provenance)" '["2020-09-13T12:26:40Z",false,false]'
    ! grep -q hidden sbom provenance
    # the same build says the same
    attested
    assert_eq "$(jq -r '."containerimage.digest"' meta)" "$index"
    # pulled back it runs; an archive of it has the statements; they are no image
    coracle rmi -f "$(cat id)" >/dev/null
    coracle pull -q "$REGISTRY/$n:1"
    assert_eq "$(coracle run --rm --network none "$REGISTRY/$n:1" cat /etc/os-release | head -1)" ID=debian
    coracle rmi "$REGISTRY/$n:1" >/dev/null
    tar -C l -cf l.tar .
    id=$(coracle load -q -i l.tar | sed 's/.*: //')
    coracle tag "$id" "$n:2"
    assert_eq "$(coracle run --rm --network none "$n:2" cat /etc/os-release | head -1)" ID=debian
    coracle save -o a.tar "$n:2"
    run coracle run --rm --platform unknown/unknown "$n:2" true
    [ "$status" = 125 ]
    while IFS='|' read -r args want; do
        run -1 coracle build $args .
        assert_output_has "$want"
    done <<'E'
--provenance=mode=max|has BuildKit's own steps
--provenance=maybe|it is true or false
--sbom=generator=x|no generator (x) is run
--attest type=vuln|no attestations of type vuln
--attest mode=min|attestation type not specified
--sbom=true -o x|attestations are kept beside images
--sbom=true -o type=docker,dest=x|does not currently support exporting manifest lists
E
    # without being asked nothing is attested, and what was asked can be taken back
    coracle build -q --attest type=provenance,mode=min --provenance=false --metadata-file meta . >/dev/null
    assert_eq "$(jq -r '."containerimage.descriptor".mediaType' meta)" application/vnd.oci.image.manifest.v1+json
}
