settle
snapshot >/run/before
ip link set eth1 down
mhnat apply both.toml 2>/run/warnings
grep -q 'uplink second is not usable for IPv4: the interface is down (hint: ' /run/warnings || fail "no warning"
[ -z "$(ip route show table 10902)" ] || fail "a route by a link that is down"
ip rule | grep -q 'from 10.2.0.2 unreachable' || fail "no guard"
ip link set eth1 up
ip address add 2001:db8:2::2/64 dev eth1 nodad
mhnat apply both.toml
ip route show table 10902 | grep -q 'default via 10.2.0.1 dev eth1' || fail "no route after the link is up"
ip -6 route show table 10902 | grep -q 'default via 2001:db8:2::1 dev eth1' || fail "no IPv6 route"

# Gone, and back under another index.
ip link delete eth1
mhnat apply both.toml 2>/run/warnings
grep -q 'uplink second is not usable for IPv6: the interface does not exist' /run/warnings || fail "no warning"
ip link add eth1 index 4711 type veth peer name far1
ip link set far1 up
ip link set eth1 up
ip address add 10.2.0.2/24 dev eth1
mhnat apply both.toml 2>/run/warnings
grep -q 'uplink second is not usable for IPv6: the interface does not have the address' /run/warnings ||
	fail "no warning about the address"
ip route show table 10902 | grep -q 'default via 10.2.0.1 dev eth1' || fail "no route by the new link"
# A tentative address is waited for.
sysctl -qw net.ipv6.conf.eth1.accept_dad=1
ip address add 2001:db8:2::2/64 dev eth1
mhnat apply both.toml
ip -6 route show table 10902 | grep -q 'src 2001:db8:2::2' || fail "no route once the address has settled"
mhnat down
[ -z "$(ip rule | grep 'proto 109')$(ip route show table all | grep 'proto 109')" ] || fail "something is left"
