# What run and keep know of the targets: lengths, seeds, words. To be sourced at the top of the tree.
# shellcheck shell=bash
work=build/fuzz
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}

all_targets() {
    local f
    for f in tests/fuzz/fuzz_*.c; do basename "$f" .c; done
}

build_targets() {
    mkdir -p "$work"
    make --no-print-directory -j"$(nproc)" CC=clang FUZZ=1 "${@/#/$work/bin/}" >"$work.log" 2>&1 || {
        cat "$work.log"
        return 1
    }
}

max_len() {
    case $1 in
        fuzz_layer) echo 65536 ;;
        fuzz_template) echo 300 ;; # longer ones only loop longer
        fuzz_expand | fuzz_ignore) echo 512 ;;
        fuzz_spec | fuzz_bundle | fuzz_manifest | fuzz_seccomp | fuzz_archive_index | fuzz_archive) echo 16384 ;;
        *) echo 4096 ;;
    esac
}

seeds_of() { # the directories of a target's seeds
    local made=$work/seeds/$1
    if [ "$1" = fuzz_layer ] && [ ! -d "$made" ]; then
        mkdir -p "$made"
        python3 tests/fault/evil_layers.py --dump "$made" && python3 tests/fault/evil_streams.py --dump "$made"
    fi
    [ ! -d "$made" ] || echo "$made"
    [ ! -d "tests/fuzz/seeds/$1" ] || echo "tests/fuzz/seeds/$1"
}

words_of() { # a file of a target's words: its own, and those of texts that others read, too; nothing where it has none
    local shared=() w
    case $1 in
        fuzz_manifest | fuzz_archive_index | fuzz_build_cache | fuzz_spec) shared=(json image) ;;
        fuzz_json | fuzz_bundle | fuzz_seccomp | fuzz_trust | fuzz_signature | fuzz_record | fuzz_config | fuzz_events | fuzz_logread) shared=(json) ;;
        fuzz_net | fuzz_msg | fuzz_answer) shared=(json) ;;
        fuzz_layer | fuzz_archive) shared=(tar) ;;
        fuzz_frames_slirp | fuzz_nfqueue) shared=(packets) ;;
        fuzz_mount | fuzz_volume | fuzz_ulimit) shared=(flags) ;;
        fuzz_parse | fuzz_options) shared=(flags options) ;;
        fuzz_check) shared=(dockerfile ignore) ;;
        fuzz_run_mount) shared=(flags dockerfile) ;;
    esac
    mkdir -p "$work/words"
    for w in "${shared[@]}" "${1#fuzz_}"; do
        [ ! -e "tests/fuzz/words/$w.dict" ] || cat "tests/fuzz/words/$w.dict"
    done >"$work/words/$1"
    [ ! -s "$work/words/$1" ] || echo "$work/words/$1"
}

unpack_corpus() { # what was learnt elsewhere, once
    local stamp=$work/unpacked
    [ -e tests/fuzz/corpus.tar.gz ] && [ ! "$stamp" -nt tests/fuzz/corpus.tar.gz ] || return 0
    mkdir -p "$work/corpus"
    tar -xzf tests/fuzz/corpus.tar.gz --skip-old-files -C "$work/corpus" && touch "$stamp"
}
