settle
snapshot >/run/before
{
	cat other.toml
	for n in $(seq 8000); do
		dummy=198.18.$((n / 250)).$((n % 250))
		echo "[[fan-out]]"
		echo "dummy = \"$dummy\""
		echo "to = \"10.9.0.1\""
		echo "source = \"10.8.0.1\""
	done
} >many.toml
status=0
mhnat apply many.toml 2>/run/said || status=$?
case $status in
0) [ "$(nft list map inet mhnat fan_out_to_4 | grep -o '198\.18\.' | wc -l)" = 8000 ] || fail "not all fan-outs" ;;
1) grep -q 'the host is as it was before' /run/said || fail "$(cat /run/said)" ;;
*) fail "exit $status: $(cat /run/said)" ;;
esac
mhnat down
snapshot >/run/after
same /run/before /run/after "something is left"
