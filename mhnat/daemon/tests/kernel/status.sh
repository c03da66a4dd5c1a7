differs() {
	status=0
	mhnat status >/run/said || status=$?
	[ $status = 4 ] || fail "exit $status: $(cat /run/said)"
	grep -qF "$1" /run/said || fail "no '$1': $(cat /run/said)"
}
[ "$(mhnat status)" = "nothing is applied" ] || fail "$(mhnat status)"
mhnat apply both.toml
mhnat status >/run/said || fail "$(cat /run/said)"
grep -qx "applied: $PWD/both.toml" /run/said || fail "$(cat /run/said)"
grep -qx 'uplink second: eth1, table 10902, mark 0x00000200/0x0000ff00, 0 flows' /run/said || fail "$(cat /run/said)"
grep -qx '  IPv4 10.2.0.2 via 10.2.0.1: usable' /run/said || fail "$(cat /run/said)"
grep -qx '  IPv6 2001:db8:2::2 via 2001:db8:2::1: usable' /run/said || fail "$(cat /run/said)"
grep -q '^  received [0-9]* bytes in [0-9]* packets, sent [1-9]' /run/said || fail "$(cat /run/said)"
grep -qx 'the kernel is as it was applied' /run/said || fail "$(cat /run/said)"

# Two connections with the second uplink's mark and other bits beside it, one with another program's mark only.
for flow in '1 0x10200' '2 0x200' '3 0x10000'; do
	conntrack -I -s 10.9.0.${flow% *} -d 10.9.9.9 -p udp --sport 1 --dport 2 -t 100 -m ${flow#* } >/dev/null 2>&1 ||
		fail "no conntrack entry"
done
mhnat status | grep -q 'uplink second: .*, 2 flows$' || fail "$(mhnat status)"
mhnat status --json | grep -q '"flows": 2' || fail "$(mhnat status --json)"

nft delete rule inet mhnat nat_postrouting handle \
	$(nft -a list chain inet mhnat nat_postrouting | sed -n 's/.*masquerade comment.* handle //p')
differs 'nft rule `uplink: packets take the address of the uplink that they leave by` is missing'
nft delete table inet mhnat
differs 'table inet mhnat is missing'
mhnat apply both.toml
ip rule del priority 15900
differs 'IPv4 rule `priority 15900 lookup 10900 protocol 109` is missing'
ip rule add priority 15990 lookup 77 protocol 109
differs 'IPv4 rule `priority 15990 lookup 77 protocol 109` should not be there'
mhnat apply both.toml
ip -6 route flush table 10902
differs 'IPv6 route `default via 2001:db8:2::1 dev eth1'
mhnat apply both.toml
sysctl -qw net.ipv4.conf.eth1.rp_filter=1 net.ipv4.ip_forward=0
differs 'sysctl net/ipv4/conf/eth1/rp_filter is 1, and should be 2'
differs 'sysctl net/ipv4/ip_forward is 0, and should be 1'
mhnat apply both.toml
mhnat status >/run/said || fail "$(cat /run/said)"
ip link set eth1 down
differs '  IPv4 10.2.0.2 via 10.2.0.1: not usable, the interface is down'
ip link delete eth1
differs '  IPv6 2001:db8:2::2 via 2001:db8:2::1: not usable, the interface does not exist'
mhnat down
[ "$(mhnat status)" = "nothing is applied" ] || fail "$(mhnat status)"

# Killed in the middle: nft is called to load the ruleset, and for nothing before.
wrap 'cat >/dev/null; kill -9 $PPID; exit 1'
status=0
mhnat apply other.toml --nft /run/nft 2>/run/said >&2 || status=$?
[ $status = 137 ] || fail "exit $status"
differs 'a change was cut off in the middle'
mhnat down
