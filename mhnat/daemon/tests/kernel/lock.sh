mkdir /run/mhnat
exec 9>>/run/mhnat/lock
flock 9
status=0
mhnat apply both.toml 2>/run/said || status=$?
[ $status = 1 ] || fail "exit $status"
grep -q 'another mhnat is at work' /run/said || fail "$(cat /run/said)"
flock -u 9
mhnat apply both.toml
mhnat down
