cat >dynamic.toml <<-FILE
	[[uplink]]
	name = "first"
	interface = "eth0"
	address = "dynamic"
	gateway = "dynamic"
	source = "masquerade"
	metric = 10
	[[uplink]]
	name = "second"
	interface = "eth1"
	address = "dynamic"
	gateway = "dynamic"
	metric = 20
	[replies]
	udp = "mark"
FILE
# What is static for everybody else here is not there yet.
ip address flush dev eth1 scope global
ip -6 address flush dev eth1 scope global
settle
mhnat plan dynamic.toml | grep -q '^# uplink second: its addresses and gateways are read from eth1' || fail "plan"
mhnat apply dynamic.toml 2>/run/warnings
grep -q 'uplink second is not usable for IPv4: the interface has no global address (hint: ' /run/warnings ||
	fail "no warning: $(cat /run/warnings)"
grep -q 'uplink first is not usable for IPv6: no default route through the interface' /run/warnings ||
	fail "no warning about the gateway: $(cat /run/warnings)"
ip route show table 10901 | grep -q 'default via 10.1.0.1 dev eth0.* src 10.1.0.2' || fail "no route by the first"
[ -z "$(ip route show table 10902)$(ip -6 route show table 10901)" ] || fail "a route by nothing"
ip rule | grep -q 'fwmark 0x200/0xff00 unreachable' || fail "no guard by mark"
! ip rule | grep -q 'lookup 10902' || ip rule | grep 'lookup 10902' | grep -q fwmark || fail "a rule for no address"

# A DHCP client, and one that uses a table of its own; a worse route beside each. Deprecated and secondary
# addresses are not taken first.
ip address add 10.2.0.9/24 dev eth1 preferred_lft 0 valid_lft 1000
ip address add 10.2.0.2/24 dev eth1
ip address add 10.2.0.3/24 dev eth1
ip route add default via 10.2.0.99 dev eth1 metric 5
ip route add default via 10.2.0.1 dev eth1 metric 500 proto dhcp
ip -6 address add 2001:db8:2::2/64 dev eth1 nodad
ip -6 route add default via fe80::77 dev eth1 table 50 proto ra
ip -6 route add default via fe80::99 dev eth0 proto ra
mhnat apply dynamic.toml 2>/run/warnings
[ ! -s /run/warnings ] || fail "$(cat /run/warnings)"
ip route show table 10902 | grep -q 'default via 10.2.0.1 dev eth1.* src 10.2.0.2' ||
	fail "$(ip route show table 10902)"
ip -6 route show table 10902 | grep -q 'default via fe80::77 dev eth1' || fail "$(ip -6 route show table 10902)"
ip rule | grep -q 'from 10.2.0.3 lookup 10902' || fail "no rule for the second address"
! ip rule | grep -q 10.2.0.9 || fail "a deprecated address"
mhnat apply dynamic.toml
ip route show table 10902 | grep -q 'via 10.2.0.1' || fail "our own route was taken for another's"

# A point-to-point link needs none; the lease ends.
ip route del default via 10.2.0.1 dev eth1 metric 500
ip route del default via 10.2.0.99 dev eth1 metric 5
ip link set eth1 arp off
mhnat apply dynamic.toml 2>/run/warnings
[ ! -s /run/warnings ] || fail "$(cat /run/warnings)"
ip route show table 10902 | grep -q 'default dev eth1' || fail "$(ip route show table 10902)"
ip address flush dev eth1 scope global
ip -6 address flush dev eth1 scope global
mhnat apply dynamic.toml 2>/run/warnings
grep -q 'uplink second is not usable' /run/warnings || fail "no warning after the lease"
[ -z "$(ip route show table 10902)" ] || fail "a route after the lease"
mhnat down
[ -z "$(ip rule | grep 'proto 109')$(ip route show table all | grep 'proto 109')" ] || fail "something is left"
