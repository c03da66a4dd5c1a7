differs() {
	status=0
	mhnat plan --diff "$@" >/run/said || status=$?
	[ $status = 4 ] || fail "exit $status: $(cat /run/said)"
}
settle
snapshot >/run/before
differs both.toml
grep -qx '+table inet mhnat {' /run/said || fail "no ruleset: $(cat /run/said)"
grep -qx '+ip rule add priority 15900 lookup 10900 protocol 109' /run/said || fail "no rule: $(cat /run/said)"
grep -q '^+ip -6 route replace default via 2001:db8:1::1 dev eth0' /run/said || fail "no route: $(cat /run/said)"
grep -A1 -x -e '-net/ipv4/ip_forward = 0' /run/said | grep -qx '+net/ipv4/ip_forward = 1' || fail "no sysctl"
grep -q "$(printf '\033')" /run/said && fail "colour into a file"
snapshot >/run/after
same /run/before /run/after "looking changed something"
[ ! -e /run/mhnat ] || fail "looking left a directory"

mhnat apply both.toml
[ "$(mhnat plan --diff both.toml)" = "nothing would change" ] || fail "$(mhnat plan --diff both.toml)"
mhnat plan --diff --json both.toml | grep -q '"rules": \[\]' || fail "$(mhnat plan --diff --json both.toml)"

# Only what differs: here the metric of one uplink, which no ruleset knows.
sed 's/^metric = 20$/metric = 30/' both.toml >changed.toml
differs changed.toml
[ "$(grep -c '^[-+]' /run/said)" = 4 ] || fail "$(cat /run/said)"
grep -q '^-ip route del default via 10.2.0.1 dev eth1 .*metric 20 table 10900' /run/said || fail "$(cat /run/said)"
grep -q '^+ip route replace default via 10.2.0.1 dev eth1 .*metric 30 table 10900' /run/said || fail "$(cat /run/said)"
sed 's/^source = "203.0.113.1"$/source = "203.0.113.2"/' both.toml >changed.toml
differs changed.toml
[ "$(grep -c '^[-+]' /run/said)" = 8 ] || fail "$(cat /run/said)"
grep -q '^+.*192.0.2.1 : 203.0.113.2' /run/said || fail "$(cat /run/said)"

# Somebody else was here.
nft flush chain inet mhnat mark_output
differs both.toml
grep -q '^# the loaded table is not the one that was applied' /run/said || fail "$(cat /run/said)"
nft delete table inet mhnat
differs both.toml
ip rule del priority 15900
differs both.toml
grep -qx '+ip rule add priority 15900 lookup 10900 protocol 109' /run/said || fail "$(cat /run/said)"
mhnat apply both.toml
mhnat plan --diff both.toml
# A terminal gets colour.
script -qec "$MHNAT plan --diff other.toml" /dev/null >/run/said || true
grep -q "$(printf '\033')\[3[12]m" /run/said || fail "no colour on a terminal: $(cat /run/said)"
mhnat down
snapshot >/run/after
same /run/before /run/after "down left something"
