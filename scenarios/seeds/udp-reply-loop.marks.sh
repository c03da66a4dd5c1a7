#!/bin/sh
# The same without a veth pair: the connection remembers the link, and on output a chain of type `route` has the
# answer routed again by it.
set -e
[ "$1" = apply ] || exit 0
sysctl -qw net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.eth1.rp_filter=2
ip rule add fwmark 1 lookup 1
ip route add default dev eth0 via 192.0.2.1 table 1
ip rule add fwmark 2 lookup 2
ip route add default dev eth1 via 198.51.100.1 table 2
nft -f - <<'END'
table ip loop {
	chain came_by {
		type filter hook prerouting priority -150;
		ct state new meta l4proto udp ct mark set iifname map { "eth0" : 1, "eth1" : 2 }
	}
	chain to_server {
		type nat hook prerouting priority -100;
		udp dport 53 fib daddr type local dnat to 10.255.0.1
	}
	chain leave_by {
		type route hook output priority -150;
		ct direction reply meta mark set ct mark
	}
}
END
