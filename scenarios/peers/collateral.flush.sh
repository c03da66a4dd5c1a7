#!/bin/sh
# What many failover scripts do on any change: all connections are forgotten, whatever they have to do with it.
set -eu

tell() {
	perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "tell: $!\n";
		send($s, $ARGV[0], 0, sockaddr_un($ENV{NOTIFY_SOCKET})) or die "tell: $!\n"' "$1"
}

line() {
	ip route "$1" default via 198.51.100.1 dev ppp0 metric 10 2>/dev/null || true
	ip -6 route "$1" default via 2001:db8:1::1 dev ppp0 metric 10 2>/dev/null || true
}

ip route replace default via 100.64.2.1 dev ppp1 metric 20
ip -6 route replace default via 2001:db8:2::1 dev ppp1 metric 20
line replace
tell READY=1
was=1
while :; do
	case $(ip -o link show ppp0) in
	*LOWER_UP*) now=1 ;;
	*) now=0 ;;
	esac
	if [ "$now" != "$was" ]; then
		if [ "$now" = 1 ]; then line replace; else line del; fi
		conntrack -F 2>/dev/null
	fi
	was=$now
	sleep 0.01
done
