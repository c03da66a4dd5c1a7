settle
snapshot >/run/before
case @MOMENT@ in
before) wrap 'if [ $call = @CALL@ ]; then kill -9 $PPID; exit 1; fi' ;;
after) wrap 'if [ $call = @CALL@ ]; then nft "$@" <&0; kill -9 $PPID; exit 1; fi' ;;
esac
for former in none other; do
	[ $former = none ] || mhnat apply $former.toml
	rm -f /run/calls
	status=0
	mhnat apply both.toml --nft /run/nft 2>/run/said >&2 || status=$?
	[ $status = 137 ] || [ "$(wc -l </run/calls)" -lt @CALL@ ] || fail "exit $status: $(cat /run/said)"
	# From the third call on, the change is under way: no former ruleset stands beside the new slots.
	[ $status != 137 ] || [ @CALL@ -lt 3 ] || grep -q '"applied": null' /run/mhnat/state.json ||
		fail "the journal has an older ruleset"
	if [ @REPAIR@ = apply ]; then
		mhnat apply both.toml
		# Sorted: the kernel lists base chains in the order in which it first saw them.
		snapshot | sort >/run/repaired
		mhnat down
		mhnat apply both.toml
		snapshot | sort >/run/fresh
		same /run/fresh /run/repaired "apply after a kill is not complete"
	fi
	mhnat down
	snapshot >/run/after
	same /run/before /run/after "down after a kill left something"
done
