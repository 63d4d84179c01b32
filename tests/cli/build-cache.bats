#!/usr/bin/env bats
# build: the cache of one machine on another one, --cache-to and --cache-from. The other machine is an empty store.
load ../lib/common
load ../lib/containers
load ../lib/builds
load ../lib/registry

file_setup() { image busybox >/dev/null; registry_start plain; scripted_start hall; }
file_teardown() { registry_stop_all; }

# The other machine: a store that has the base image and nothing else.
other() { coracle --root "$T/other" "$@"; }
other_new() {
    [ ! -e "$T/other" ] || other system reset -f >/dev/null
    [ -e "$T/busybox.tar" ] || coracle save -o "$T/busybox.tar" busybox
    other load -q -i "$T/busybox.tar" >/dev/null
}
other_gone() { other system reset -f >/dev/null; }
# other_build NAME [OPTION…]: as build, there; the Dockerfile is the one that is there already
other_build() {
    local name=$1
    shift
    other build -t "$name" "$@" "$T" >"$T/log" 2>&1 || { cat "$T/log"; return 1; }
}
id_here() { coracle image inspect "$1" | jq -r '.[0].Id'; }
id_there() { other image inspect "$1" | jq -r '.[0].Id'; }
blob() { cat "$1/blobs/sha256/${2#sha256:}"; }
# The manifest of the cache in a layout, what its config says, and that of two of them
cache_manifest() { blob "$1" "$(jq -r '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == "latest").digest' "$1/index.json")"; }
# How many things another machine's store has
there_are() { find "$T/other/$1" -mindepth 1 -maxdepth 1 | wc -l; }
cache_words() { blob "$1" "$(cache_manifest "$1" | jq -r .config.digest)" | jq -cS '."coracle.build.cache.v1"'; }

@test "type=local: on an empty machine every step is cached and the image is the same; cache mounts come along" {
    n=$(unique)
    echo 1 >f
    build "$n" --cache-to type=local,dest=cache,mode=max,mounts=true <<E
FROM busybox AS tool
RUN --mount=type=cache,id=$n,target=/c,uid=3,gid=4,mode=700 mkdir /c/.wh.d && echo warm >/c/.wh.d/f && chown 5:6 /c/.wh.d && chmod 750 /c/.wh.d
RUN echo tool >/tool
FROM busybox
COPY f /f
COPY --from=tool /tool /tool
RUN cat /f /tool >/both && chown 7:8 /both
E
    assert_eq "$(cached)" 0
    assert_eq "$(cache_manifest cache | jq -r .config.mediaType)" application/vnd.coracle.build.cache.v1+json
    assert_eq "$(cache_words cache | jq -c '[(.records | length), (.notes | length), (.mounts | length)]')" '[5,1,1]'
    other_new
    other_build "$n" --cache-from type=local,src=cache
    assert_eq "$(cached)" 5
    assert_eq "$(id_there "$n")" "$(id_here "$n")"
    assert_eq "$(there_are layers)" 4 # the base image's and three: what the stage "tool" has made is not wanted
    other system check
    # what was taken is the machine's own now; what was not is done again, and makes the same
    mv cache away
    other_build "$n" --cache-from type=local,src=cache
    assert_eq "$(cached) $(id_there "$n")" "3 $(id_here "$n")"
    grep -q 'ERROR: open cache: no such file or directory' log || fail "no reason" "$(cat log)"
    mv away cache
    # a third machine, where no command runs, hands the mount on all the same
    other_new
    other_build "$n" --cache-from type=local,src=cache --cache-to type=local,dest=cache2,mode=max,mounts=true
    assert_eq "$(cached)" 5
    assert_eq "$(cache_words cache2 | jq -c '[.records, .notes, .mounts | keys]')" "$(cache_words cache | jq -c '[.records, .notes, .mounts | keys]')"
    # another command: it runs, and finds what the first machine's had left
    sed -i 's/mkdir .*/stat -c "%a %u:%g" \/c \/c\/.wh.d \&\& cat \/c\/.wh.d\/f/' Dockerfile
    other_build "$n" --cache-from type=local,src=cache2
    assert_eq "$(sed -n 's/^#[0-9]* [0-9]*\.[0-9]* //p' log | paste -sd ' ')" "700 3:4 750 5:6 warm"
    other_gone
}

@test "type=local: mode=min, what was there before goes, other images stay; what is damaged or missing is done without" {
    n=$(unique)
    file='FROM busybox AS a
RUN echo a >/a && echo more >/more
FROM busybox
COPY --from=a /a /a
RUN echo b >/b'
    build "$n" --cache-to type=local,dest=min --cache-to type=local,dest=max,mode=max,compression=gzip <<<"$file"
    assert_eq "$(cache_words min | jq '.records | length')" 2
    assert_eq "$(cache_manifest max | jq -r '[.layers[].mediaType] | unique[]')" application/vnd.oci.image.layer.v1.tar+gzip
    other_new
    other_build "$n" --cache-from type=local,src=max
    assert_eq "$(cached) $(id_there "$n")" "3 $(id_here "$n")"
    # the layout has what the cache has now, and nothing else
    build "$n:2" --cache-to type=local,dest=min <<<'FROM busybox
RUN echo new >/b'
    assert_eq "$(ls min/blobs/sha256 | wc -l)" 3
    coracle build -q -o type=oci,tar=false,dest=both -t "$n:img" . >/dev/null
    coracle build -q --cache-to type=local,dest=both . >/dev/null
    assert_eq "$(jq '.manifests | length' both/index.json)" 2
    coracle pull -q "oci:both:$n:img" >/dev/null
    # bytes that are not what they are called: told, and the steps are done
    victim=$(cache_manifest max | jq -r '.layers[-1].digest')
    chmod u+w max/blobs/sha256/*
    printf x | dd of="max/blobs/sha256/${victim#sha256:}" bs=1 seek=30 conv=notrunc status=none
    printf '%s\n' "$file" >Dockerfile
    other_new
    other_build "$n" --cache-from type=local,src=max
    grep -q '\[Warning\] --cache-from type=local,src=max: blob sha256:.* of the layout has the digest' log
    sed -i '1,/\[Warning\]/d' log
    assert_eq "$(cached) $(grep -c '\] RUN' log)" "0 2"
    assert_eq "$(other run --rm --network none "$n" cat /a /b | paste -sd ' ')" "a b"
    other system check
    other_gone
    while IFS='|' read -r args want; do
        run -1 coracle build $args .
        assert_output_has "$want"
    done <<'E'
--cache-to type=gha|type=gha: a service of one provider
--cache-from type=s3,bucket=x|type=s3: a service of one provider
--cache-to type=what|unknown cache type: what
--cache-to type=local|local cache exporter requires dest
--cache-from type=local,dest=x|there is no option dest=x here
--cache-from type=inline|type=inline is where a cache goes
--cache-to type=registry|registry cache exporter requires ref
--cache-to type=local,dest=x,mode=most|unknown cache mode most
--cache-to type=local,dest=x,mounts=perhaps|non-bool value specified for mounts
--cache-to type=local,dest=x,image-manifest=false|always an OCI manifest
--cache-to type=inline,mode=max|there is no option mode=max here
--cache-to dest=x|type required
E
}

@test "COPY --link: on another base its layer is the same and cached, not a byte is copied, and caches carry it" {
    n=$(unique)
    echo "$n" >linked
    file='FROM busybox
RUN echo BASE >/below
COPY linked /before
COPY --link linked /d/
RUN cat /d/linked /below >/after'
    diffs() { coracle image inspect "$1" | jq -r ".[0].RootFS.Layers[$2]"; }
    build "$n:1" <<<"$file"
    # one step is as it was; what must be made anew lies on it
    build "$n:2" <<<"${file/BASE/other}"
    assert_eq "$(grep -A1 '\] COPY --link' log | tail -n1 | cut -d' ' -f2) $(cached)" "CACHED 1"
    assert_eq "$(diffs "$n:2" -2)" "$(diffs "$n:1" -2)"
    [ "$(diffs "$n:2" -4)" != "$(diffs "$n:1" -4)" ]
    assert_eq "$(in_image "$n:2" cat /d/linked /after | paste -sd ' ')" "$n $n other"
    assert_eq "$(find "$STORE"/layers/*/diff/d/linked -printf '%n %i\n' | sort -u | wc -l)" 1
    # again there: nothing is left to do, and the image is the one that it was
    build "$n:3" --cache-to type=local,dest=link <<<"${file/BASE/other}"
    assert_eq "$(cached) $(id_here "$n:3")" "4 $(id_here "$n:2")"
    coracle system check
    # a machine with a third base finds it in the cache
    other_new
    sed -i 's/echo other/echo third/' Dockerfile
    other_build "$n" --cache-from type=local,src=link
    assert_eq "$(grep -A1 '\] COPY --link' log | tail -n1 | cut -d' ' -f2) $(cached)" "CACHED 1"
    other_build "$n" --no-cache
    assert_eq "$(cached)" 0
    sed -i 's/echo third/echo fourth/' Dockerfile
    other_build "$n"
    assert_eq "$(cached)" 1
    other system check
    other_gone
}

@test "type=registry and type=inline: pushed, found by a reference, with the layers that are needed alone" {
    n=$(unique)
    REGISTRY=$(registry_addr plain)
    hall=$(registry_addr hall)/$n:cache
    build "$n" --cache-to "type=registry,ref=$REGISTRY/$n:cache,mode=max,mounts=true" --cache-to "type=registry,ref=$hall,mode=max" <<E
FROM busybox AS a
RUN --mount=type=cache,id=$n,target=/c echo warm >/c/f && echo a >/a
FROM busybox
COPY --from=a /a /a
RUN echo b >/b
E
    other_new
    # the image's two layers are asked for side by side, the other one never; the first blob is the cache's config
    scripted_set hall '{"rules": [{"match": "GET .*/blobs/", "skip": 1, "times": -1, "together": 2}]}'
    other_build "$n" --cache-from "type=registry,ref=$hall"
    assert_eq "$(cached) $(id_there "$n")" "3 $(id_here "$n")"
    assert_eq "$(scripted_log hall '[.[] | select(.path | test("/blobs/")).status] | join(" ")')" "200 200 200"
    sed -i 's/echo warm.*/cat \/c\/f >\/a \&\& cat \/a/' Dockerfile
    other_build "$n" --cache-from "$REGISTRY/$n:cache"
    grep -qE '^#[0-9]+ [0-9.]+ warm$' log
    # an image that carries its own
    build "$REGISTRY/$n:app" --cache-to type=inline --push <<'E'
FROM busybox
RUN echo c >/c
RUN echo d >/d
E
    other_new
    other_build "$n" --cache-from "$REGISTRY/$n:app" --cache-to type=inline
    assert_eq "$(cached) $(id_there "$n")" "2 $(id_here "$REGISTRY/$n:app")"
    # of an image in the store no registry is asked
    other_new
    coracle save -o app.tar "$REGISTRY/$n:app"
    other load -q -i app.tar >/dev/null
    registry_stop plain
    other_build "$n" --cache-from "$REGISTRY/$n:app" --cache-to type=inline
    assert_eq "$(cached) $(id_there "$n")" "2 $(id_here "$REGISTRY/$n:app")"
    # what cannot be had is told, and where it cannot go the build fails
    other_build "$n" --cache-from "type=registry,ref=$REGISTRY/$n:cache"
    grep -q 'ERROR' log
    run -1 other build --cache-to "type=registry,ref=$REGISTRY/$n:cache" .
    assert_output_has "--cache-to type=registry,ref=$REGISTRY/$n:cache"
    other build -q --cache-to "type=registry,ref=$REGISTRY/$n:cache,ignore-error=true" . >/dev/null
    # a base image with a cache of its own does not hand it down
    printf 'FROM %s\nRUN true\n' "$REGISTRY/$n:app" >Dockerfile
    other_build "$n:child"
    other save -o child.tar "$n:child"
    run -0 tar -xOf child.tar "blobs/sha256/$(id_there "$n:child" | cut -d: -f2)"
    refute_output_has coracle.build.cache
    other_gone
}
