count() { ip $1 route show table 10800 proto 109 | wc -l; }
file() {
	cat <<-FILE
		[[uplink]]
		name = "first"
		interface = "eth0"
		address = ["10.1.0.2", "2001:db8:1::2"]
		gateway = ["10.1.0.1", "2001:db8:1::1"]
		metric = 10
		prefixes-file = "lists/many.txt"
		[[uplink]]
		name = "second"
		interface = "eth1"
		address = ["10.2.0.2", "2001:db8:2::2"]
		gateway = ["10.2.0.1", "2001:db8:2::1"]
		metric = 20
		prefixes = ["100.64.0.0/24", "2001:db9::/48", "172.16.0.0/12"]
	FILE
}
mkdir lists
for n in $(seq 0 499); do
	echo "100.64.$((n % 250)).$((n / 250 * 128))/25 # $n"
	printf '2001:db9:%x::/48\n' $n
done >lists/many.txt
echo 100.64.0.0/24 >>lists/many.txt
file >prefixes.toml
settle
# From another directory: the list is beside the configuration.
here=$PWD
(cd / && "$MHNAT" apply "$here/prefixes.toml")
[ "$(count -4) $(count -6)" = "503 501" ] || fail "$(count -4) $(count -6) routes"
ip rule | grep -q '^15800:.*lookup 10800' || fail "no rule"
ip route get 100.64.7.200 | grep -q 'dev eth0 table 10800' || fail "$(ip route get 100.64.7.200)"
ip route get 172.20.0.1 | grep -q 'dev eth1' || fail "$(ip route get 172.20.0.1)"
ip monitor route >/run/changes &
monitor=$!
sleep 0.2
mhnat apply prefixes.toml
sleep 0.2
kill $monitor
[ ! -s /run/changes ] || fail "applying again touched: $(head -3 /run/changes)"

# Withdrawn with its uplink, of which the other has one too.
ip link set eth0 down
mhnat apply prefixes.toml 2>/run/warnings
[ "$(count -4) $(count -6)" = "2 1" ] || fail "$(count -4) $(count -6) routes without the first uplink"
ip link set eth0 up
ip route add default via 10.1.0.1 dev eth0
ip -6 address add 2001:db8:1::2/64 dev eth0 nodad
mhnat apply prefixes.toml
[ "$(count -4) $(count -6)" = "503 501" ] || fail "$(count -4) $(count -6) routes with it again"

# One route of another program among hundreds: named exactly, and all of ours are as before.
echo 192.168.7.0/24 >>lists/many.txt
seq -f '192.168.%.0f.0/25' 100 200 >>lists/many.txt
ip route add 192.168.7.0/24 via 10.2.0.1 dev eth1 metric 10 table 10800 protocol 108
snapshot >/run/former
status=0
mhnat apply prefixes.toml 2>/run/said || status=$?
[ $status = 1 ] || fail "exit $status"
grep -q "another program's IPv4 192.168.7.0/24 route stands in table 10800 at metric 10; the host is as it was" \
	/run/said || fail "$(cat /run/said)"
snapshot >/run/latter
same /run/former /run/latter "a refused list left something"
ip route del 192.168.7.0/24 table 10800

# A list that is wrong touches nothing; one that is gone is said.
echo '10.0.0.1/8' >>lists/many.txt
status=0
mhnat apply prefixes.toml 2>/run/said || status=$?
[ $status = 2 ] && grep -q -- '--> lists/many.txt:1104:1' /run/said || fail "exit $status: $(cat /run/said)"
rm lists/many.txt
status=0
mhnat check prefixes.toml 2>/run/said || status=$?
[ $status = 2 ] && grep -q 'No such file' /run/said || fail "exit $status: $(cat /run/said)"
mhnat down
[ -z "$(ip rule | grep 'proto 109')$(ip route show table all | grep 'proto 109')" ] || fail "something is left"
[ -z "$(ip -6 route show table all | grep 'proto 109')" ] || fail "something of IPv6 is left"
