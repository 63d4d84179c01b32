#!/usr/bin/env bats
# AppArmor where the kernel has it; said to have no effect where not. A profile is loaded by root, who has no password here.
load ../lib/common
PROFILE=coracle-test
as_root() { su root -c "PATH=/usr/sbin:/usr/bin:/sbin:/bin; $1" </dev/null; }
has_apparmor() { [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ]; }

file_setup() { image busybox; }
file_teardown() { ! has_apparmor || as_root "echo 'profile $PROFILE {}' | apparmor_parser -R" 2>/dev/null || true; }

@test "--security-opt apparmor: one that is not loaded is an error; without AppArmor it is said" {
    run coracle run --rm --network none --security-opt apparmor=no-such-profile busybox true
    if has_apparmor; then
        [ "$status" != 0 ] || fail "a profile that is not there was taken"
    else
        assert_status 0
        assert_output_has "apparmor=no-such-profile has no effect"
    fi
}

@test "--security-opt apparmor: the profile holds, in exec too" {
    has_apparmor || skip "no AppArmor"
    run -0 coracle run --rm --network none --security-opt apparmor=unconfined busybox cat /proc/self/attr/current
    assert_output_has unconfined
    as_root true || skip "root has a password"
    as_root "apparmor_parser -r <<'P'
profile $PROFILE flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  signal,
  network,
  deny /etc/group r,
}
P"
    coracle run -d --network none --name confined --security-opt "apparmor=$PROFILE" busybox sleep 1000
    assert_eq "$(cat "/proc/$(coracle inspect -f '{{.State.Pid}}' confined)/attr/current")" "$PROFILE (enforce)"
    run coracle exec confined sh -c 'cat /proc/self/attr/current; head -n 1 /etc/passwd; cat /etc/group'
    assert_status 1
    assert_output_has "$PROFILE (enforce)"
    assert_output_has "root:x:0:0"
    assert_output_has "'/etc/group': Permission denied"
    coracle rm -f confined
}
