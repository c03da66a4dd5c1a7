#!/bin/sh
# The same without a veth pair: the connection remembers the link, and on output a chain of type `route` has the
# answer routed again by it.
set -e
[ "$1" = apply ] || exit 0
ip -6 rule add fwmark 1 lookup 1
ip -6 route add default dev eth0 via 2001:db8:1::1 table 1
ip -6 rule add fwmark 2 lookup 2
ip -6 route add default dev eth1 via 2001:db8:2::1 table 2
nft -f - <<'END'
table ip6 loop {
	chain came_by {
		type filter hook prerouting priority -150;
		ct state new meta l4proto udp ct mark set iifname map { "eth0" : 1, "eth1" : 2 }
	}
	chain to_server {
		type nat hook prerouting priority -100;
		udp dport 53 fib daddr type local dnat to fd00:10::1
	}
	chain leave_by {
		type route hook output priority -150;
		ct direction reply meta mark set ct mark
	}
}
END
