#!/usr/bin/env bats
# AppArmor where the kernel has it; said to have no effect where not.
load ../lib/common
file_setup() { image busybox; }
has_apparmor() { [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ]; }

@test "--security-opt apparmor: the profile holds, in exec too; one that is not loaded is an error; without AppArmor it is said" {
    run coracle run --rm --network none --security-opt apparmor=no-such-profile busybox true
    if ! has_apparmor; then
        assert_status 0
        assert_output_has "apparmor=no-such-profile has no effect"
        return
    fi
    [ "$status" != 0 ] || fail "a profile that is not there was taken"
    run -0 coracle run --rm --network none --security-opt apparmor=unconfined busybox cat /proc/self/attr/current
    assert_output_has unconfined
    # any that is loaded will do to see that it is entered
    for profile in $(sed -n 's/^\([a-zA-Z0-9_-]*\) (.*/\1/p' /sys/kernel/security/apparmor/profiles 2>/dev/null); do
        coracle run -d --network none --name "aa-$profile" --security-opt "apparmor=$profile" busybox sleep 100 || continue
        grep -q "^$profile " "/proc/$(coracle inspect -f '{{.State.Pid}}' "aa-$profile")/attr/current" || fail "not in $profile"
        coracle rm -f "aa-$profile"
        return
    done
    skip "no profile that this user may see"
}
