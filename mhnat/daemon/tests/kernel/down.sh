settle
snapshot >/run/before
mhnat apply both.toml >/run/said
grep -qx 'applied: 36 nft rules, 20 policy rules, 8 routes, [0-9]* sysctls remembered' /run/said || fail "$(cat /run/said)"
nft list table inet mhnat | grep -q 'snat ip to ct original ip daddr map @fan_out_source_4' || fail "no ruleset"
[ "$(ip -4 rule | grep -c 'proto 109')" = 10 ] || fail "not all IPv4 rules"
[ "$(ip -6 rule | grep -c 'proto 109')" = 10 ] || fail "not all IPv6 rules"
[ "$(ip -4 route show table 10900 | grep -c 'proto 109 src 10')" = 2 ] || fail "not all IPv4 routes"
[ "$(ip -6 route show table 10902 | grep -c 'via 2001:db8:2::1.*proto 109')" = 1 ] || fail "not all IPv6 routes"
[ "$(sysctl -n net.ipv4.conf.eth1.rp_filter)" = 2 ] || fail "reverse path filter is still strict"
[ "$(sysctl -n net.ipv4.ip_forward)" = 1 ] || fail "no IPv4 forwarding"
[ "$(sysctl -n net.ipv6.conf.all.forwarding)" = 1 ] || fail "no IPv6 forwarding"
mhnat down
snapshot >/run/after
same /run/before /run/after "down left something"
[ ! -e /run/mhnat/state.json ] || fail "something is remembered"
[ "$(mhnat down)" = "nothing to take back" ] || fail "down twice"

# Without its memory, what is left is still known by name and number.
mhnat apply other.toml
rm /run/mhnat/state.json
sysctl -qw net.ipv4.conf.eth1.rp_filter=1
mhnat down
snapshot >/run/after
same /run/before /run/after "down without state left something"
