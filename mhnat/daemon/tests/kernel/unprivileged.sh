# A second user namespace without a network namespace of its own has no rights over this one.
status=0
unshare --user "$MHNAT" apply both.toml --state-dir "$PWD/state" 2>/run/said || status=$?
[ $status = 3 ] || fail "exit $status: $(cat /run/said)"
[ "$(wc -l </run/said)" = 1 ] || fail "more than one line: $(cat /run/said)"
grep -q '^error: .*(hint: run as root' /run/said || fail "$(cat /run/said)"
