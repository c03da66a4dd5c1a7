#!/bin/sh
# What many failover scripts do: whatever does not answer a ping loses its routes, and all connections begin anew.
set -eu

tell() {
    perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "tell: $!\n";
        send($s, $ARGV[0], 0, sockaddr_un($ENV{NOTIFY_SOCKET})) or die "tell: $!\n"' "$1"
}

add() {
    ip route replace default via "$2" dev "$1" metric "$4"
    ip -6 route replace default via "$3" dev "$1" metric "$4"
}

add ppp0 198.51.100.1 2001:db8:1::1 10
add ppp1 100.64.2.1 2001:db8:2::1 20
tell READY=1

while :; do
    for device in ppp0 ppp1; do
        [ -n "$(ip route show default dev $device)" ] || continue
        ping -q -c1 -W0.3 -I $device 192.0.2.53 >/dev/null || {
            ip route del default dev $device
            conntrack -F 2>/dev/null
            # Last, because the scenario goes on when it is gone.
            ip -6 route del default dev $device
        }
    done
    sleep 0.1
done
