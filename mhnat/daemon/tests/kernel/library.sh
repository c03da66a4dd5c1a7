# The program and the library leave the same kernel, state and words behind, whichever came before.
if ! mhnat down --nft lib 2>/run/said; then
	grep -q 'cannot load libnftables' /run/said || fail "$(cat /run/said)"
	echo "no libnftables here" >&2
	exit 0
fi
settle
snapshot >/run/pristine
# nft prints handles nowhere here, and base chains in the order in which the kernel first saw them.
all() {
	snapshot
	cat /run/mhnat/state.json
}
run() {
	for file in $1; do
		mhnat apply $file.toml --nft $2 >/run/said.$2
		all >>/run/all.$2
	done
	mhnat down --nft $2 >>/run/said.$2
	snapshot >/run/after.$2
	same /run/pristine /run/after.$2 "down with $2 left something"
}
for files in both other 'both other both' 'other both both'; do
	for way in nft lib; do
		rm -f /run/all.$way
		run "$files" $way
	done
	same /run/all.nft /run/all.lib "after $files"
	same /run/said.nft /run/said.lib "what was said after $files"
done
# One applies, the other replaces and takes back.
mhnat apply both.toml --nft lib
mhnat apply other.toml --nft nft
snapshot >/run/mixed
mhnat apply both.toml --nft nft
mhnat apply other.toml --nft lib
snapshot >/run/other
same /run/mixed /run/other "mixed"
mhnat down --nft nft
# The state of a killed run has no ruleset: then the table is listed, and loaded again when a later step fails.
mhnat apply other.toml --nft lib
python3 - <<-PYTHON
	import json
	state = json.load(open("/run/mhnat/state.json"))
	assert state["applied"]["ruleset"]
	state["applied"] = None
	json.dump(state, open("/run/mhnat/state.json", "w"))
PYTHON
snapshot >/run/before
echo 0 >/run/forward
mount --bind /run/forward /proc/sys/net/ipv4/ip_forward
mount -o remount,bind,ro /proc/sys/net/ipv4/ip_forward
status=0
mhnat apply both.toml --nft lib 2>/run/said || status=$?
umount /proc/sys/net/ipv4/ip_forward
[ $status != 0 ] || fail "a step was to fail"
grep -q 'ip_forward.*the host is as it was before' /run/said || fail "$(cat /run/said)"
snapshot >/run/after
same /run/before /run/after "after a step that failed"
mhnat down --nft lib
# A ruleset that the library refuses is told as one that the program refuses.
nft -f - <<-RULES
	table inet mhnat {
		flags dormant;
		chain nat_output { type filter hook output priority 0; policy accept;
		}
	}
RULES
for way in nft lib; do
	status=0
	mhnat apply both.toml --nft $way 2>/run/said.$way || status=$?
	echo $status >>/run/said.$way
done
# Where in the text it is, the two say differently.
sed -i 's/: [^ ]*: Error:/: Error:/' /run/said.nft /run/said.lib
same /run/said.nft /run/said.lib "refusals"
