#!/bin/sh
# wan1 becomes a link between two addresses, with everybody beyond at the far end.
[ "$1" = apply ] || exit 0
set -e
far=$(ip neigh show 100.64.2.1 dev wan1 | sed 's/.*lladdr \([^ ]*\).*/\1/')
ip address del 100.64.2.2/24 dev wan1
ip address add 100.64.2.2 peer 100.64.2.1/32 dev wan1
ip -6 address del 2001:db8:2::2/64 dev wan1
ip -6 address add 2001:db8:2::2 peer 2001:db8:2::1/128 dev wan1 nodad
for address in 192.0.2.80 2001:db8:80::80; do
	ip neigh replace "$address" lladdr "$far" dev wan1 nud permanent
done
