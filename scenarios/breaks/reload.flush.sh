#!/bin/sh
# What many firewall scripts do whenever they are called: everything goes, and comes back.
set -eu

tell() {
	perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "tell: $!\n";
		send($s, $ARGV[0], 0, sockaddr_un($ENV{NOTIFY_SOCKET})) or die "tell: $!\n"' "$1"
}

load() {
	nft flush ruleset
	ip route replace default via 198.51.100.1 dev ppp0
	ip -6 route replace default via 2001:db8:1::1 dev ppp0
	conntrack -F 2>/dev/null
	sleep 0.05
	nft -f - <<EOF
table inet plain {
	chain post {
		type nat hook postrouting priority 100;
		oifname { "ppp0", "ppp1" } masquerade
	}
}
EOF
}

trap 'tell "RELOADING=1
MONOTONIC_USEC=$(cut -d. -f1 /proc/uptime)000000"; load; tell READY=1' HUP
load
tell READY=1
while :; do
	sleep 0.1 &
	wait $! || :
done
