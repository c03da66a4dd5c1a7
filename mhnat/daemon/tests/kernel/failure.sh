# nft fails: before it has done anything, after it has done it, or another program is quick to add to the table.
case @MOMENT@ in
before) wrap 'if [ $call = 1 ]; then echo "no, not now" >&2; exit 1; fi' ;;
after) wrap 'if [ $call = 1 ]; then nft "$@" <&0; echo "no, not now" >&2; exit 1; fi' ;;
meddled) wrap 'if [ $call = 1 ]; then nft "$@" <&0; nft add chain inet mhnat stranger; exit; fi' ;;
esac
for former in none other; do
	[ $former = none ] || mhnat apply $former.toml
	settle
	snapshot >/run/before
	cp /run/mhnat/state.json /run/state 2>/dev/null || true
	rm -f /run/calls
	status=0
	mhnat apply both.toml --nft /run/nft 2>/run/said || status=$?
	[ $status = 1 ] || fail "exit $status: $(cat /run/said)"
	grep -q -e 'no, not now' -e 'an nft table is not what was loaded' /run/said || fail "$(cat /run/said)"
	snapshot >/run/after
	same /run/before /run/after "a failure after $former left something: $(cat /run/said)"
	[ $former = none ] || same /run/state /run/mhnat/state.json "what is remembered changed"
	mhnat down
done
