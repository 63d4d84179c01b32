#!/usr/bin/env bats
# Whole images made by somebody who means harm: each is refused, or harmless; nothing outside of its layers is touched, and the
# store is as clean afterwards as it was before. The cases are in evil_images.py.
load ../lib/common

evil() {
    run python3 "$TESTS_DIR/fault/evil_images.py" "$@"
    [ "$status" = 0 ] || { grep -v '^ok' <<<"$output" >&2; return 1; }
    assert_output_has ", 0 failed"
    [ "$(grep -c '^ok ' <<<"$output")" -gt 25 ]
}

@test "every malicious and damaged layer as an image from a registry" { evil layers; }
@test "every malicious and damaged layer in a docker archive" { evil loads; }
@test "manifests, indexes and configs that lie" { evil manifests; }
@test "archives that lie" { evil archives; }
