alone() {
	for _ in $(seq 200); do
		if [ ! -e /run/mhnat/supervisor ] || flock -n /run/mhnat/supervisor true; then return; fi
		sleep 0.05
	done
	fail "somebody still waits"
}
waiting() { sed -n 's/.*"id": "\([0-9]*\)-.*/\1/p' /run/mhnat/state.json; }
[ @FORMER@ = none ] || mhnat apply @FORMER@.toml >/dev/null
settle
snapshot >/run/before
sort /run/before >/run/before.sorted
n=0
while :; do
	n=$((n + 1))
	rm -f /run/log
	status=0
	if [ @VICTIM@ = apply ]; then
		MHNAT_FAULT=kill:$n MHNAT_FAULT_LOG=/run/log mhnat apply @TARGET@.toml --confirm 60s >/run/said 2>&1 || status=$?
		if [ $status = 0 ]; then
			mhnat rollback >/dev/null
			alone
			break
		fi
	else
		MHNAT_FAULT_SUPERVISOR=kill:$n mhnat apply @TARGET@.toml --confirm 60s >/run/said 2>&1 || status=$?
		kill -TERM "$(waiting)" 2>/dev/null || true
	fi
	alone
	if [ @VICTIM@ = supervisor ]; then
		mhnat rollback >/run/said 2>&1 || {
			# It died in the last step, or it was not killed at all.
			grep -q 'no change waits' /run/said || fail "no rollback at $n: $(cat /run/said)"
			ended=$((${ended:-0} + 1))
		}
	fi
	snapshot | sort >/run/after
	same /run/before.sorted /run/after "not as before at $n: $(cat /run/said)"
	[ "${ended:-0}" -lt 4 ] || break
done
snapshot | sort >/run/after
same /run/before.sorted /run/after "not as before"
[ $n -gt 30 ] || fail "only $n operations"
echo "apply --confirm of @TARGET@ after @FORMER@: @VICTIM@ is killed at each of its operations, $((n - 1)) tries"
