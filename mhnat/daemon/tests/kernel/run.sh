# The daemon: what the kernel holds follows the links, the file and nobody else.
trap 'kill -9 $daemon 2>/dev/null || true' EXIT
clean() { mhnat status >/run/said; }
entry() {
	conntrack -I -s 10.9.0.$1 -d ${3:-10.9.9.9} -p udp --sport 1 --dport 2 -t 100 -m $2 ${4-} >/dev/null 2>&1 ||
		fail "no conntrack entry"
}
entries() { conntrack -L 2>/dev/null | grep -c 'src=10.9.0' || true; }

settle
snapshot >/run/before
start both.toml
clean || fail "$(cat /run/said)"
for family in IPv4 IPv6; do grep -q "uplink first carries $family" /run/log || fail "$(cat /run/log)"; done

# A carrier that goes takes the default route with it, and the connections that went there by choice.
entry 1 0x100
entry 2 0x200
# Asked from outside at the address of the first, and none of ours: answered, since what was not may have begun before the
# rules were there, and is looked for for some time after the start.
entry 3 0x100 10.1.0.2
entry 4 0x0 10.9.9.9 "-u SEEN_REPLY"
ip link set far0 down
soon 'ip route show table 10900 | grep -q "default via 10.2.0.1"' "the other uplink is not used"
[ -z "$(ip route show table 10900 | grep eth0)" ] || fail "a route without a carrier"
soon '[ "$(entries)" = 3 ]' "$(conntrack -L 2>/dev/null)"
conntrack -L 2>/dev/null | grep -q 'src=10.9.0.1' && fail "the connection of the lost uplink is there"
grep -q 'uplink first does not carry IPv4: the interface has no carrier' /run/log || fail "$(cat /run/log)"
soon 'grep -q "^1 connection begins anew" /run/log' "no word of it"
clean || fail "$(cat /run/said)"

# It comes back; by default nobody moves.
ip link set far0 up
soon 'ip route show table 10900 | grep -q "default via 10.1.0.1"' "it is not used again"
[ "$(entries)" = 3 ] || fail "$(conntrack -L 2>/dev/null)"

# Both are lost: nobody has anywhere to go.
entry 1 0x100
ip link set far0 down
ip link set far1 down
soon '[ -z "$(ip route show table 10900)" ]' "routes without any carrier"
ip link set far1 up
soon 'ip route show table 10900 | grep -q 10.2.0.1' "the second is not back"
ip link set far0 up
soon 'ip route show table 10900 | grep -q 10.1.0.1' "the first is not back"

# Down and up empties all tables of the device; deletion changes its index.
ip link set eth1 down
soon 'grep -q "uplink second does not carry IPv4: the interface is down" /run/log' "unnoticed"
ip link set eth1 up
ip address add 2001:db8:2::2/64 dev eth1 nodad
soon 'ip -6 route show table 10902 | grep -q "via 2001:db8:2::1"' "IPv6 is not back"
ip link delete eth1
# The kernel sets a device down before it deletes it, and tells both.
gone="uplink second does not carry IPv4: the interface \(is down\|does not exist\)"
soon '[ "$(grep -c "$gone" /run/log)" = 2 ]' "unnoticed"
soon 'mhnat status | grep -q "does not exist"' "not in the status"
ip link add eth1 index 4711 type veth peer name far1
ip link set far1 up
# The address before the link, and the link before the other address.
ip address add 10.2.0.2/24 dev eth1
ip link set eth1 up
ip address add 2001:db8:2::2/64 dev eth1 nodad
soon 'ip route show table 10902 | grep -q 10.2.0.1 && ip -6 route show table 10902 | grep -q 2001:db8:2::1' "not back"
soon clean "$(cat /run/said)"

# What another program deletes comes back.
nft delete table inet mhnat
soon clean "the table is not back"
nft flush ruleset
soon clean "the table is not back after a flush"
nft flush chain inet mhnat nat_postrouting
soon clean "the rules are not back"
map=$(nft list maps inet | sed -n 's/^\t*map \([a-z_0-9]*\) {$/\1/p' | head -1)
nft list map inet mhnat $map >/run/map
nft flush map inet mhnat $map
soon 'nft list map inet mhnat $map | cmp -s - /run/map' "the elements of $map are not back"
ip rule del priority 15900
ip -6 rule flush
ip -6 rule add priority 32766 table main
ip route flush table 10902
sysctl -qw net.ipv4.conf.eth1.rp_filter=1
soon clean "rules and routes are not back"

# A file with a mistake changes nothing; a right one does.
cp both.toml /run/mine.toml
kill $daemon
wait $daemon || fail "exit $? on SIGTERM"
ip rule | grep -q 'proto 109' || fail "SIGTERM took the rules"
start /run/mine.toml
echo 'wrong = ' >>/run/mine.toml
kill -HUP $daemon
soon 'grep -q "the configuration before stays in force" /run/log' "no word of the mistake"
clean || fail "$(cat /run/said)"
cp other.toml /run/mine.toml
kill -HUP $daemon
soon 'grep -q "read /run/mine.toml again: 1 uplink" /run/log && clean && ! ip rule | grep -q "from 10.1.0.2"' "the file is not read again"
ip rule | grep -q 'from 10.2.0.2' || fail "the other file is not in force: $(ip rule)"

# Another run finds the door locked.
status=0
mhnat apply both.toml 2>/run/said || status=$?
[ $status = 1 ] && grep -q 'SIGHUP' /run/said || fail "exit $status: $(cat /run/said)"

# Killed while links change, and started again.
kill -9 $daemon
wait $daemon || true
cp both.toml /run/mine.toml
ip link set far0 down
start /run/mine.toml
ip route show table 10900 | grep -q 'default via 10.2.0.1' || fail "the lost uplink is used"
clean || fail "$(cat /run/said)"
ip link set far0 up
soon 'ip route show table 10900 | grep -q 10.1.0.1' "it is not back"

kill $daemon
wait $daemon
start --down-on-exit both.toml
kill $daemon
wait $daemon || fail "exit $?"
grep -q 'taken back' /run/log || fail "$(cat /run/log)"
[ -z "$(ip rule | grep 'proto 109')$(ip route show table all | grep 'proto 109')$(nft list tables)" ] || fail "something is left"
