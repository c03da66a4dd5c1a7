# Before and after each call of nft, which only loads, and between runs, a default route of ours leads only where the
# ruleset translates sources.
uplink() {
	printf '[[uplink]]\nname = "%s"\ninterface = "%s"\naddress = "%s"\ngateway = "%s"\nsource = "masquerade"\nmetric = %s\n' "$@"
}
uplink one eth0 10.1.0.2 10.1.0.1 10 >/run/one.toml
uplink two eth1 10.2.0.2 10.2.0.1 10 >/run/two.toml
uplink one eth0 10.1.0.2 10.1.0.1 20 | cat /run/two.toml - >/run/both.toml
uplink one eth0 10.1.0.2 10.1.0.1 5 | cat /run/two.toml - >/run/swapped.toml
cat >/run/look <<'LOOK'
nft list set inet mhnat masquerade_on >/run/translated 2>/dev/null || : >/run/translated
ip rule | grep -q 'lookup 10900 proto 109' || exit 0
ip route show table 10900 | grep -o 'dev [a-z0-9]*' | while read -r _ device; do
	echo "$1" >>/run/looks
	grep -q "\"$device\"" /run/translated || echo "$1 call $2 of $3: $device is not translated" >>/run/leaks
done
LOOK
wrap 'bash /run/look before $call "$*"; nft "$@" <&0; status=$?; bash /run/look after $call "$*"; exit $status'
for file in one two both swapped one swapped both two one both; do
	mhnat apply /run/$file.toml --nft /run/nft >/run/said
	bash /run/look between 0 "apply $file"
done
mhnat down --nft /run/nft
bash /run/look between 0 down
[ ! -e /run/leaks ] || fail "$(cat /run/leaks)"
[ "$(grep -c -e before -e after /run/looks)" -gt 20 ] || fail "there was nothing to look at: $(sort /run/looks | uniq -c)"
for moment in before after between; do
	[ "$(grep -c $moment /run/looks)" -gt 10 ] || fail "too few looks: $(sort /run/looks | uniq -c)"
done
sort /run/looks | uniq -c

# The other order, by hand: what looks would see it.
mhnat apply /run/one.toml
nft delete table inet mhnat
bash /run/look before 1 "by hand"
grep -q 'eth0 is not translated' /run/leaks || fail "a leak was not seen"
mhnat down
