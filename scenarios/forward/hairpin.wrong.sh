#!/bin/sh
# Destinations alone, for all who come in.
set -e
[ "$1" = apply ] || exit 0
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip route add default via 198.51.100.1
ip -6 route add default via 2001:db8:1::1
nft -f - <<'RULES'
table inet nat {
	chain prerouting {
		type nat hook prerouting priority -100;
		ip daddr 198.51.100.2 tcp dport 2201 dnat ip to 10.0.0.80:22
		ip daddr 198.51.100.2 tcp dport { 80, 8000-8010 } dnat ip to 10.0.0.80
		ip daddr 198.51.100.2 udp dport 123 dnat ip to 10.0.0.80
		ip6 daddr 2001:db8:1::2 tcp dport 2201 dnat ip6 to [fd10::80]:22
		ip6 daddr 2001:db8:1::2 tcp dport 8000-8010 dnat ip6 to fd10::80
		ip6 daddr 2001:db8:1::2 udp dport 123 dnat ip6 to fd10::80
	}
	chain postrouting {
		type nat hook postrouting priority 100;
		oifname "wan0" snat ip to 198.51.100.2
		oifname "wan0" ip6 saddr != fe80::/10 snat ip6 to 2001:db8:1::2
	}
}
RULES
