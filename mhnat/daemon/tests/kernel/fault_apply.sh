prepare() { [ @FORMER@ = none ] || mhnat apply @FORMER@.toml >/run/said 2>&1; }
settle
snapshot >/run/pristine
mhnat apply @TARGET@.toml >/dev/null
# Sorted: the kernel lists base chains in the order in which it first saw them.
snapshot | sort >/run/complete
mhnat down >/dev/null
prepare
snapshot >/run/before
sort /run/before >/run/before.sorted
cp /run/mhnat/state.json /run/state 2>/dev/null || true
n=0
while :; do
	n=$((n + 1))
	rm -f /run/log
	status=0
	MHNAT_FAULT=@KIND@:$n MHNAT_FAULT_LOG=/run/log mhnat apply @TARGET@.toml >/run/said 2>&1 || status=$?
	[ $status != 0 ] || [ "$(wc -l </run/log)" -ge $n ] || break
	where="$n, $(sed -n "${n}s/^[0-9]* //p" /run/log): $(cat /run/said)"
	[ $status != 0 ] || fail "a failure is not noticed at $where"
	undone=yes
	case @KIND@ in
	kill)
		[ $status = 137 ] || fail "exit $status at $where"
		undone=no
		;;
	fail-from) ! grep -q 'undoing it failed' /run/said || undone=no ;;
	esac
	if [ $undone = yes ]; then
		# A base chain that only the former configuration has is listed last once it was loaded again.
		if [ @FORMER@ = loop ]; then
			snapshot | sort >/run/after
			same /run/before.sorted /run/after "not as before at $where"
		else
			snapshot >/run/after
			same /run/before /run/after "not as before at $where"
		fi
		[ @FORMER@ != none ] || [ ! -e /run/mhnat/state.json ] || [ @KIND@ = fail-from ] ||
			fail "something is remembered at $where"
		[ @FORMER@ = none ] || same /run/state /run/mhnat/state.json "what is remembered changed at $where"
		continue
	fi
	# The one half is repaired by an apply, the other by down.
	if [ $((n % 2)) = 0 ]; then
		mhnat apply @TARGET@.toml >/run/said 2>&1 || fail "no repair at $where: $(cat /run/said)"
		snapshot | sort >/run/after
		same /run/complete /run/after "apply does not complete $where"
	fi
	mhnat down >/run/said 2>&1 || fail "no way down at $where: $(cat /run/said)"
	snapshot >/run/after
	same /run/pristine /run/after "down leaves something at $where"
	prepare
	cp /run/mhnat/state.json /run/state 2>/dev/null || true
	snapshot | sort >/run/after
	same /run/before.sorted /run/after "no way back at $where"
	snapshot >/run/before
done
snapshot | sort >/run/after
same /run/complete /run/after "not complete without a fault"
[ $n -gt 40 ] || fail "only $n operations"
echo "apply of @TARGET@ after @FORMER@: @KIND@ at each of $((n - 1)) operations" >>/run/points
cat /run/points
