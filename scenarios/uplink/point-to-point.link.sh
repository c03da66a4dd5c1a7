#!/bin/sh
# wan1 becomes a link between two addresses, with everybody beyond at the far end.
[ "$1" = apply ] || exit 0
set -e
far=$(ip neigh show 100.64.2.1 dev wan1 | sed 's/.*lladdr \([^ ]*\).*/\1/')
ip address del 100.64.2.2/24 dev wan1
ip address add 100.64.2.2 peer 100.64.2.1/32 dev wan1
ip -6 address del 2001:db8:2::2/64 dev wan1
ip -6 address add 2001:db8:2::2 peer 2001:db8:2::1/128 dev wan1 nodad
# The kernel's worker puts an IPv6 address into the local table; before that, nothing that is sent to it comes in.
for _ in $(seq 200); do
	! ip -6 route show table local dev wan1 | grep -q '^local 2001:db8:2::2 ' || break
	sleep 0.02
done
for address in 192.0.2.80 2001:db8:80::80; do
	ip neigh replace "$address" lladdr "$far" dev wan1 nud permanent
done
