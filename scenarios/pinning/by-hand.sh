#!/bin/sh
# Default routes and a table for the second uplink, as written by hand.
if [ "$1" = stop ]; then
	exit 0
fi
ip route replace default via 198.51.100.1 dev ppp0
ip route replace default via 100.64.2.1 dev ppp1 table 2
for rule in "pref 90 lookup main suppress_prefixlength 0" "pref 100 fwmark 2 lookup 2" "pref 110 from 100.64.2.2 lookup 2"; do
	# shellcheck disable=SC2086  # each is several words
	ip rule del $rule 2> /dev/null
	# shellcheck disable=SC2086
	ip rule add $rule
done
