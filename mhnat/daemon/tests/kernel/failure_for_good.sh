# nft fails, and then does nothing any more: what was loaded before cannot be taken back.
case @MOMENT@ in
before) wrap 'echo "no, never" >&2; exit 1' ;;
after) wrap 'if [ $call = 1 ]; then nft "$@" <&0; fi; echo "no, never" >&2; exit 1' ;;
esac
settle
snapshot >/run/pristine
for former in none other; do
	[ $former = none ] || mhnat apply $former.toml
	settle
	snapshot >/run/before
	rm -f /run/calls
	status=0
	mhnat apply both.toml --nft /run/nft 2>/run/said || status=$?
	[ $status = 1 ] || fail "exit $status: $(cat /run/said)"
	snapshot >/run/after
	if grep -q 'undoing it failed' /run/said; then
		[ -e /run/mhnat/state.json ] || fail "forgotten, but not undone"
	else
		# Only before a first load is there nothing to undo.
		[ $former.@MOMENT@ = none.before ] || fail "it says that it was undone: $(cat /run/said)"
		same /run/before /run/after "the host is not as before: $(cat /run/said)"
	fi
	mhnat down
	snapshot >/run/after
	same /run/pristine /run/after "down after $former left something"
done
