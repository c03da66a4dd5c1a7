#!/bin/sh
# The article's ruleset with this topology's names and addresses, the UDP forward, and the same for IPv6.
set -e
[ "$1" = apply ] || exit 0
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip route add default via 192.0.2.1
ip -6 route add default via 2001:db8:1::1
nft -f - <<'RULES'
table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat;
		ip saddr 10.5.5.0/24 oif xenbr0 snat 192.0.2.11;
		ip daddr 10.5.5.0/24 oif guestbr0 snat 10.5.5.251;
	}
	chain prerouting {
		type nat hook prerouting priority dstnat;
		iif xenbr0 tcp dport 2201 dnat 10.5.5.201:22;
		iif xenbr0 tcp dport 2202 dnat 10.5.5.202:22;
		iif xenbr0 udp dport 123 dnat 10.5.5.202:123;
	}
}
table ip6 nat {
	chain postrouting {
		type nat hook postrouting priority srcnat;
		ip6 saddr fd05::/64 oif xenbr0 snat 2001:db8:1::11;
		ip6 daddr fd05::/64 oif guestbr0 snat fd05::251;
	}
	chain prerouting {
		type nat hook prerouting priority dstnat;
		iif xenbr0 tcp dport 2202 dnat [fd05::202]:22;
		iif xenbr0 udp dport 123 dnat [fd05::202]:123;
	}
}
table netdev filter {
	chain egress {
		type filter hook egress devices = { eth1 } priority -500; policy accept;
		arp saddr ip 10.5.5.254 drop
		arp daddr ip 10.5.5.254 drop
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } @th,64,128 0xfd0500000000000000000000000000fe drop
	}
}
RULES
