#!/usr/bin/env bats
# build: what a Dockerfile says without being built: --check, --call, and the warnings below a build.
load ../lib/common
load ../lib/containers
load ../lib/builds

file_setup() { image busybox >/dev/null; }

@test "--check: warnings with their lines, and nothing is built" {
    printf 'secret\n' >"$T/.dockerignore"
    cat >"$T/Dockerfile" <<'E'
FROM busybox AS base
WORKDIR /w
COPY secret /
CMD sleep 1

FROM base as Last
ENV A=$HOMEE
E
    run -1 --separate-stderr coracle build --check "$T"
    assert_eq "$output" "$(
        cat <<'E'
Check complete, 5 warnings have been found!

WARNING: CopyIgnoredFile - https://docs.docker.com/go/dockerfile/rule/copy-ignored-file/
Attempting to Copy file "secret" that is excluded by .dockerignore
Dockerfile:3
--------------------
   1 |     FROM busybox AS base
   2 |     WORKDIR /w
   3 | >>> COPY secret /
   4 |     CMD sleep 1
   5 |     
--------------------

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
Dockerfile:4
--------------------
   2 |     WORKDIR /w
   3 |     COPY secret /
   4 | >>> CMD sleep 1
   5 |     
   6 |     FROM base as Last
--------------------

WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
Stage name 'Last' should be lowercase
Dockerfile:6
--------------------
   4 |     CMD sleep 1
   5 |     
   6 | >>> FROM base as Last
   7 |     ENV A=$HOMEE
   8 |     
--------------------

WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/
'as' and 'FROM' keywords' casing do not match
Dockerfile:6
--------------------
   4 |     CMD sleep 1
   5 |     
   6 | >>> FROM base as Last
   7 |     ENV A=$HOMEE
   8 |     
--------------------

WARNING: UndefinedVar - https://docs.docker.com/go/dockerfile/rule/undefined-var/
Usage of undefined variable '$HOMEE'
Dockerfile:7
--------------------
   5 |     
   6 |     FROM base as Last
   7 | >>> ENV A=$HOMEE
   8 |     
--------------------
E
    )"
    run -1 --separate-stderr coracle build --call check,format=json "$T"
    assert_eq "$(jq -c '[.warnings[] | [.ruleName, .location.ranges[0].start.line]]' <<<"$output")" \
        '[["CopyIgnoredFile",3],["JSONArgsRecommended",4],["StageNameCasing",6],["FromAsCasing",6],["UndefinedVar",7]]'
    assert_eq "$(jq -r '.sources[0].data' <<<"$output" | base64 -d)" "$(cat "$T/Dockerfile")"
    run -0 coracle build --call=check,ignorestatus=true "$T"
    run -1 coracle build --check --target base "$T"
    assert_output_has 'Check complete, 4 warnings have been found!'
}

@test "--check: nothing to warn of, errors, and what the directive and the argument say" {
    echo 'FROM busybox' >"$T/Dockerfile"
    run -0 --separate-stderr coracle build --check "$T"
    assert_eq "$output" 'Check complete, no warnings found.'
    printf 'FROM busybox as a\nBADCMD\n' >"$T/Dockerfile"
    run -1 coracle build --check "$T"
    assert_output_has 'dockerfile parse error on line 2: unknown instruction: BADCMD'
    printf '# check=error=true\nFROM busybox as a\n' >"$T/Dockerfile"
    run -1 coracle build --check "$T"
    assert_output_has 'Check complete, 1 warning has been found!'
    assert_output_has 'lint violation found for rules: FromAsCasing'
    run -0 coracle build --check --build-arg BUILDKIT_DOCKERFILE_CHECK=skip=all "$T"
    printf '# check=wrong\nFROM busybox\n' >"$T/Dockerfile"
    run -1 coracle build "$T"
    assert_output_has 'invalid check option "wrong"'
    run -1 coracle build --call=other "$T"
    assert_output_has 'there is no method "other"'
    run -1 coracle build --call=check,x=1 "$T"
    assert_output_has 'invalid print field: x=1'
    run -1 coracle build --check --call=outline "$T"
    assert_output_has 'exclude each other'
}

@test "a build says what its checks found, and fails where that is an error" {
    n=$(unique)
    build "$n" <<'E'
FROM busybox AS unused
ENV a b
FROM busybox as used
CMD true
E
    assert_eq "$(grep -A2 'warnings found' "$T/log")" "$(
        cat <<'E'
 2 warnings found (use coracle --debug to expand):
 - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 3)
 - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 4)
E
    )"
    run -0 coracle --debug build "$T"
    assert_output_has ' 2 warnings found:'
    assert_output_has 'More info: https://docs.docker.com/go/dockerfile/rule/from-as-casing/'
    assert_output_has '   3 | >>> FROM busybox as used'
    run -0 --separate-stderr coracle build -q "$T"
    # shellcheck disable=SC2154 # of run
    assert_eq "$stderr" ''
    run -0 coracle build --progress rawjson "$T"
    short=$(jq -r 'select(.warnings) | .warnings[0].short' <<<"$output" | head -n1 | base64 -d)
    assert_eq "$short" "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 3)"
    # what is known when the image is there; a check that has no page, and none where a comment says so
    build "$n:arm" --platform linux/arm64 <<<$'FROM scratch\nWORKDIR /w'
    build "$n" <<<"FROM $n:arm"
    assert_eq "$(grep -A1 '1 warning found' "$T/log" | tail -n1)" " - InvalidBaseImagePlatform: Base image $n:arm was pulled with platform \"linux/arm64\", expected \"linux/amd64\" for current build (line 1)"
    build "$n" <<<$'FROM scratch AS s\n# check=skip=InvalidBaseImagePlatform a file is a file\nFROM '"$n:arm"
    run -1 grep InvalidBaseImagePlatform "$T/log"
    refused 'lint violation found for rules: FromAsCasing' -t "$n-not" <<'E'
# check=error=true
FROM busybox as used
RUN touch /never
E
    assert_output_has '1 warning found'
    [[ $output != *'RUN touch /never'*'DONE'* ]]
    run -1 coracle image inspect "$n-not"
}

@test "--call outline and targets" {
    cat >"$T/Dockerfile" <<'E'
# TAG which busybox
ARG TAG=latest
ARG OTHER=$TAG-x
ARG UNUSED=1

# base is what the others are made of
FROM --platform=$BUILDPLATFORM busybox:$TAG AS base
ARG TARGETPLATFORM
# MODE how it is done
ARG MODE=fast
RUN --mount=type=secret,id=token,required --mount=type=ssh true

FROM base AS Out
ARG MODE OTHER EMPTY
RUN --mount=type=secret,target=/run/secrets/key true
E
    run -0 --separate-stderr coracle build --call=outline --build-arg MODE=slow "$T"
    assert_eq "$output" "$(
        cat <<'E'
TARGET: out

BUILD ARG   VALUE      DESCRIPTION
TAG         latest     which busybox
OTHER       latest-x   
MODE        slow       
EMPTY                  

SECRET   REQUIRED
token    true
key      

SSH       REQUIRED
default   
E
    )"
    run -0 --separate-stderr coracle build --call=outline,format=json --target base "$T"
    assert_eq "$(jq -c '[.name, .description, [.args[] | [.name, .value, .description]]]' <<<"$output")" \
        '["base","is what the others are made of",[["TAG","latest","which busybox"],["MODE","fast","how it is done"]]]'
    run -0 --separate-stderr coracle build --call=targets "$T"
    assert_eq "$output" "$(printf 'TARGET         DESCRIPTION\nbase           is what the others are made of\nout (default)  ')"
    run -0 --separate-stderr coracle build --call=targets,format=json "$T"
    # shellcheck disable=SC2016 # as it stands in the Dockerfile
    assert_eq "$(jq -c '[.targets[] | [.name, .default, .base, .location.ranges[0].start.line]]' <<<"$output")" \
        '[["base",null,"busybox:$TAG",7],["out",true,"base",13]]'
}
