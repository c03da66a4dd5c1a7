# A second table of ours comes and goes with the first, and leaves those of others alone.
{
	cat both.toml
	cat <<-TOML
		[[forward]]
		on = ["first", "second"]
		port = "tcp/8000-8010"
		to = "10.1.0.9"
		hairpin = true

		[arp-filter]
		devices = ["eth1", "absent"]
		addresses = ["10.1.0.254", "fd05::fe"]
	TOML
} >shared.toml
nft -f - <<-RULES
	table bridge other {
		chain forward { type filter hook forward priority 0; policy accept; oifname "eth1" arp saddr ip 10.1.0.254 drop
		}
	}
RULES
settle
snapshot >/run/before
mhnat apply both.toml
snapshot >/run/both
mhnat apply shared.toml
nft list table bridge mhnat | grep -q 'arp daddr ip @shared_4 drop' || fail "no bridge table"
snapshot >/run/shared
mhnat apply shared.toml
snapshot >/run/now
same /run/shared /run/now "applying again changed something"
# Call 4 deletes the table. When a later one fails, undoing brings it back.
for call in 1 2 3 4 5; do
	rm -f /run/calls
	wrap "if [ \$call = $call ]; then echo 'no, not now' >&2; exit 1; fi"
	status=0
	mhnat apply both.toml --nft /run/nft 2>/run/said || status=$?
	[ $status = 1 ] || fail "exit $status: $(cat /run/said)"
	snapshot >/run/now
	same /run/shared /run/now "a failure of call $call was not undone: $(cat /run/said)"
done
mhnat apply both.toml
snapshot >/run/now
same /run/both /run/now "the bridge table did not go"
mhnat apply shared.toml
mhnat down
snapshot >/run/now
same /run/before /run/now "down left something"
