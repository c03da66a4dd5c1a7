#!/bin/sh
# The article's veth pair, for IPv6: the next hop is the other end's link-local address.
set -e
[ "$1" = apply ] || exit 0
sysctl -qw net.ipv6.conf.all.forwarding=1
ip link add serverintf type veth peer name distributeintf address 02:00:00:00:00:02
ip addr add fd00:10::1/64 dev serverintf nodad
ip addr add fe80::2/64 dev distributeintf nodad
ip link set serverintf up
ip link set distributeintf up
# The kernel's worker puts IPv6 addresses into the local table; before that, nothing that is sent to them comes in.
for _ in $(seq 200); do
	! { ip -6 route show table local dev serverintf | grep -q '^local fd00:10::1 ' &&
		ip -6 route show table local dev distributeintf | grep -q '^local fe80::2 '; } || break
	sleep 0.02
done
# Known from the start, so that no answer waits for neighbour discovery.
ip -6 neigh add fe80::2 lladdr 02:00:00:00:00:02 dev serverintf
ip -6 rule add from fd00:10::1 lookup 1010101
ip -6 route add default dev serverintf via fe80::2 table 1010101
ip6tables -t nat -A PREROUTING -p udp -m multiport --dports 53 -j DNAT --to-destination fd00:10::1
ip6tables -t raw -A PREROUTING -i distributeintf -j CT --notrack
for address in 2001:db8:1::2 2001:db8:1::3; do ip -6 rule add from $address lookup 1; done
ip -6 route add default dev eth0 via 2001:db8:1::1 table 1
ip -6 rule add from 2001:db8:2::2 lookup 2
ip -6 route add default dev eth1 via 2001:db8:2::1 table 2
