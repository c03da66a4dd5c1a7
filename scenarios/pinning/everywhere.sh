#!/bin/sh
# A table for each uplink by its mark, and answers of this host by the address that was asked.
for ip in "ip -4" "ip -6"; do
	case $ip in
	*4) line=198.51.100 mobile=100.64.2 dot=. ;;
	*) line=2001:db8:1: mobile=2001:db8:2: dot=: ;;
	esac
	$ip route add default via "$line${dot}1" dev ppp0
	$ip route add default via "$line${dot}1" dev ppp0 table 1
	$ip route add default via "$mobile${dot}1" dev ppp1 table 2
	$ip rule add pref 100 fwmark 0x100 lookup 1
	$ip rule add pref 101 fwmark 0x200 lookup 2
	$ip rule add pref 110 from "$mobile${dot}2" lookup 2
done
