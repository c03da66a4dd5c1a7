# From the n-th call on, nft does nothing any more: what was loaded before cannot be taken back.
wrap 'if [ $call -ge @CALL@ ]; then echo "no, never" >&2; exit 1; fi'
settle
snapshot >/run/pristine
for former in none other; do
	[ $former = none ] || mhnat apply $former.toml
	settle
	snapshot >/run/before
	rm -f /run/calls
	status=0
	mhnat apply both.toml --nft /run/nft 2>/run/said || status=$?
	if [ $status = 0 ]; then
		[ "$(wc -l </run/calls)" -lt @CALL@ ] || fail "nothing failed"
	else
		[ $status = 1 ] || fail "exit $status: $(cat /run/said)"
		snapshot >/run/after
		if grep -q 'undoing it failed' /run/said; then
			[ -e /run/mhnat/state.json ] || fail "forgotten, but not undone"
		else
			same /run/before /run/after "the host is not as before: $(cat /run/said)"
		fi
	fi
	mhnat down
	snapshot >/run/after
	same /run/pristine /run/after "down after $former left something"
done
