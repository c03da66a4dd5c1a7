#!/bin/sh
# The article's nft rules for case B, for IPv6, which has no reverse path filter to switch off.
set -e
[ "$1" = apply ] || exit 0
ip -6 rule add fwmark 0x42 pref 42 table 42
ip -6 route add default table 42 via 2001:db8:2::1 dev eth1
nft -f - <<'RULES'
table ip6 mangle {
	chain input {
		type filter hook input priority mangle;
		iifname "eth1" counter meta mark set 0x42
		counter ct mark set mark
	}
	chain output {
		type route hook output priority mangle;
		counter meta mark set ct mark
	}
}
table ip6 nat {
	chain prerouting {
		type nat hook prerouting priority dstnat;
		iifname "eth1" meta l4proto udp fib daddr type local counter dnat 2001:db8:1::2
	}
}
RULES
