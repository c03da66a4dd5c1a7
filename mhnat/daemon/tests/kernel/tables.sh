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
# Call 1 deletes the table. When it fails nevertheless, or what comes after it, undoing brings it back.
for moment in before after meddled; do
	rm -f /run/calls
	case $moment in
	before) wrap 'if [ $call = 1 ]; then echo "no, not now" >&2; exit 1; fi' ;;
	after) wrap 'if [ $call = 1 ]; then nft "$@" <&0; nft list tables >/run/tables; echo "no, not now" >&2; exit 1; fi' ;;
	meddled) wrap 'if [ $call = 1 ]; then nft "$@" <&0; nft list tables >/run/tables; nft add chain inet mhnat stranger; exit; fi' ;;
	esac
	rm -f /run/tables
	status=0
	mhnat apply both.toml --nft /run/nft 2>/run/said || status=$?
	[ $status = 1 ] || fail "exit $status: $(cat /run/said)"
	snapshot >/run/now
	same /run/shared /run/now "a failure $moment was not undone: $(cat /run/said)"
	[ $moment = before ] || ! grep -q 'bridge mhnat' /run/tables || fail "call 1 did not delete the table"
	[ $moment = before ] || [ -s /run/tables ] || fail "call 1 was not made"
done
mhnat apply both.toml
snapshot >/run/now
same /run/both /run/now "the bridge table did not go"
mhnat apply shared.toml
mhnat down
snapshot >/run/now
same /run/before /run/now "down left something"
