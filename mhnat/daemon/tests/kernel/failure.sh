wrap 'if [ $call = @CALL@ ]; then echo "no, not now" >&2; exit 1; fi'
for former in none other; do
	[ $former = none ] || mhnat apply $former.toml
	settle
	snapshot >/run/before
	cp /run/mhnat/state.json /run/state 2>/dev/null || true
	rm -f /run/calls
	status=0
	mhnat apply both.toml --nft /run/nft 2>/run/said || status=$?
	# A first apply lists no table, so it calls nft once less; then there is nothing to fail.
	if [ $status = 0 ]; then
		[ "$(wc -l </run/calls)" -lt @CALL@ ] || fail "nothing failed"
		mhnat down
		continue
	fi
	[ $status = 1 ] || fail "exit $status: $(cat /run/said)"
	grep -q 'no, not now' /run/said || fail "$(cat /run/said)"
	snapshot >/run/after
	same /run/before /run/after "a failure after $former left something: $(cat /run/said)"
	[ $former = none ] || same /run/state /run/mhnat/state.json "what is remembered changed"
	mhnat down
done
