settle
snapshot >/run/before
case @MOMENT@ in
# nft is started before there are commands for it.
before) wrap 'cat >/dev/null; kill -9 $PPID; exit 1' ;;
after) wrap 'nft "$@" <&0; kill -9 $PPID; exit 1' ;;
esac
for former in none other; do
	[ $former = none ] || mhnat apply $former.toml
	rm -f /run/calls
	status=0
	mhnat apply both.toml --nft /run/nft 2>/run/said >&2 || status=$?
	[ $status = 137 ] || fail "exit $status"
	# The change is under way: no former ruleset stands beside the new slots.
	grep -q '"applied": null' /run/mhnat/state.json || fail "the journal has an older ruleset"
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
