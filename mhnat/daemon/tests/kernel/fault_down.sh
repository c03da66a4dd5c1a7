settle
snapshot >/run/pristine
mhnat apply @TARGET@.toml >/dev/null
snapshot | sort >/run/complete
n=0
while :; do
	n=$((n + 1))
	rm -f /run/log
	status=0
	MHNAT_FAULT=@KIND@:$n MHNAT_FAULT_LOG=/run/log mhnat down >/run/said 2>&1 || status=$?
	[ $status != 0 ] || [ "$(wc -l </run/log)" -ge $n ] || break
	where="$n, $(sed -n "${n}s/^[0-9]* //p" /run/log): $(cat /run/said)"
	[ $status != 0 ] || fail "a failure is not noticed at $where"
	[ @KIND@ != kill ] || [ $status = 137 ] || fail "exit $status at $where"
	if [ $((n % 2)) = 0 ]; then
		mhnat apply @TARGET@.toml >/run/said 2>&1 || fail "no repair at $where: $(cat /run/said)"
		snapshot | sort >/run/after
		same /run/complete /run/after "apply does not complete $where"
	fi
	mhnat down >/run/said 2>&1 || fail "no way down at $where: $(cat /run/said)"
	snapshot >/run/after
	same /run/pristine /run/after "the second down leaves something at $where"
	mhnat apply @TARGET@.toml >/dev/null
done
snapshot >/run/after
same /run/pristine /run/after "not taken back without a fault"
[ $n -gt 40 ] || fail "only $n operations"
echo "down of @TARGET@: @KIND@ at each of $((n - 1)) operations"
