#!/bin/sh
# The article's nft rules for case B, as published.
set -e
[ "$1" = apply ] || exit 0
sysctl -qw net.ipv4.conf.eth1.rp_filter=0
ip rule add fwmark 0x42 pref 42 table 42
ip route add default table 42 via 198.51.100.1 dev eth1
nft -f - <<'RULES'
table ip mangle {
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
table ip nat {
	chain prerouting {
		type nat hook prerouting priority dstnat;
		iifname "eth1" meta l4proto udp fib daddr type local counter dnat 192.0.2.2
	}
}
RULES
