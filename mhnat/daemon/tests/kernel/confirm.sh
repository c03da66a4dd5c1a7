# Waits for a condition, no longer than ten seconds.
eventually() {
	for _ in $(seq 200); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.05
	done
	fail "never: $*"
}
# Nobody waits for a confirmation any more.
alone() { flock -n /run/mhnat/supervisor true; }
# The process that waits; its number is in the name of the change.
waiting() { sed -n 's/.*"id": "\([0-9]*\)-.*/\1/p' /run/mhnat/state.json; }
refused() {
	status=0
	"${@:2}" >/run/said 2>&1 || status=$?
	[ $status = 1 ] || fail "exit $status: $(cat /run/said)"
	grep -q "$1" /run/said || fail "$(cat /run/said)"
}
for former in none other; do
	[ $former = none ] || mhnat apply $former.toml
	settle
	snapshot >/run/before
	cp /run/mhnat/state.json /run/state 2>/dev/null || rm -f /run/state
	as_before() {
		snapshot >/run/after
		same /run/before /run/after "$1, after $former"
		if [ $former = none ]; then
			[ ! -e /run/mhnat/state.json ] || fail "something is remembered"
		else
			same /run/state /run/mhnat/state.json "what is remembered changed"
		fi
	}

	# Nobody confirms.
	[ "$(mhnat apply both.toml --confirm 2s | tail -1)" = "rolled back in 2 s unless \`mhnat confirm\` comes before" ] ||
		fail "not said"
	snapshot | sort >/run/with
	mhnat status | grep -q 'unconfirmed: rolled back in [12] s' || fail "$(mhnat status)"
	eventually alone
	as_before "the deadline did not roll back"
	refused 'no change waits' mhnat confirm
	refused 'no change waits' mhnat rollback

	# The terminal goes, and its whole session with it.
	setsid bash -c '"$MHNAT" apply both.toml --confirm 2s; kill -HUP 0' || true
	eventually alone
	as_before "a lost terminal kept the change"

	# A second apply is refused, and somebody confirms.
	mhnat apply both.toml --confirm 60s
	refused 'a change waits to be confirmed, and is rolled back in' mhnat apply other.toml
	refused 'a change waits to be confirmed, and is rolled back in' mhnat apply other.toml --confirm 1s
	mhnat confirm
	eventually alone
	snapshot | sort >/run/kept
	same /run/with /run/kept "the confirmed change is not complete"
	mhnat status | grep -q unconfirmed && fail "still unconfirmed"
	[ $former = none ] && mhnat down
	[ $former = none ] || mhnat apply other.toml
	settle
	snapshot >/run/before
	cp /run/mhnat/state.json /run/state 2>/dev/null || rm -f /run/state

	# Now rather than later.
	mhnat apply both.toml --confirm 60s
	mhnat rollback
	eventually alone
	as_before "rollback left something"

	# The process that waits is asked to end, or is killed.
	mhnat apply both.toml --confirm 60s
	kill -TERM $(waiting)
	eventually alone
	as_before "a polite kill kept the change"
	for repair in rollback apply confirm; do
		mhnat apply both.toml --confirm 60s
		kill -KILL $(waiting)
		eventually alone
		status=0
		mhnat status >/run/said || status=$?
		[ $status = 4 ] || fail "exit $status: $(cat /run/said)"
		grep -q 'the process that would roll it back has died' /run/said || fail "$(cat /run/said)"
		case $repair in
		rollback)
			mhnat rollback
			as_before "rollback of what nobody waits for left something"
			;;
		apply)
			mhnat apply other.toml 2>/run/said
			grep -q 'has been rolled back now' /run/said || fail "$(cat /run/said)"
			[ $former = other ] || mhnat down
			as_before "apply over what nobody waits for left something"
			;;
		confirm)
			mhnat confirm
			mhnat status >/run/said || fail "$(cat /run/said)"
			;;
		esac
	done

	# Down ends it.
	mhnat down
	mhnat apply both.toml --confirm 60s
	mhnat down
	eventually alone
	[ "$(mhnat down)" = "nothing to take back" ] || fail "down left something"
done
# A reader of the output is not kept waiting by the process that stays behind.
timeout 10 bash -c '"$MHNAT" apply both.toml --confirm 60s 2>&1 | cat' || fail "the pipe is held open"
mhnat down
eventually alone
