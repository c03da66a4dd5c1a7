#!/bin/sh
# What connection scripts do: a default route for each line that is up, the better one first.
if [ "$1" = stop ]; then
	exit 0
fi
for ip in "ip -4" "ip -6"; do
	case $ip in
	*4) line=198.51.100.1 mobile=100.64.2.1 ;;
	*) line=2001:db8:1::1 mobile=2001:db8:2::1 ;;
	esac
	$ip route replace default via "$mobile" dev ppp1 metric 20
	if ip link show ppp0 up | grep -q ppp0; then
		$ip route replace default via "$line" dev ppp0 metric 10
	fi
done
