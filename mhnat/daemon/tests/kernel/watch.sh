# What a daemon has seen: its status, metrics and log; and that it can be asked to look.
trap 'kill -9 $daemon 2>/dev/null || true' EXIT
page() { # FAMILY ADDRESS [REQUEST]
	python3 - "$@" <<-'PYTHON'
		import socket, sys
		family, address, *request = sys.argv[1:]
		kind = {"unix": socket.AF_UNIX, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}[family]
		with socket.socket(kind) as client:
		    client.connect(address if family == "unix" else (address, 9469))
		    client.sendall(((request or ["GET /metrics"])[0] + " HTTP/1.1\r\nHost: x\r\n\r\n").encode())
		    while data := client.recv(65536):
		        sys.stdout.write(data.decode())
	PYTHON
}
metric() { page ipv4 127.0.0.1 | grep -v "^#" | grep -F "$1" || true; }
says() { mhnat status >/run/said; grep -qF "$1" /run/said; }
LINE='uplink="first",interface="eth0",family="ipv4"'

# What can be reached from elsewhere is refused, before anything is touched.
for address in 0.0.0.0:9469 10.1.0.2:9469 [::]:9469 unix:here nonsense; do
	status=0
	mhnat run both.toml --metrics $address 2>/run/said || status=$?
	[ $status = 2 ] && grep -qF "invalid value '$address' for '--metrics" /run/said || fail "exit $status: $(cat /run/said)"
done
[ -z "$(nft list tables)" ] || fail "something was touched"

start both.toml --metrics unix:/run/metrics.sock --metrics 127.0.0.1:9469 --metrics '[::1]:9469'
for place in 'unix /run/metrics.sock' 'ipv4 127.0.0.1' 'ipv6 ::1'; do
	page $place >/run/said
	head -1 /run/said | tr -d '\r' | grep -qx 'HTTP/1.1 200 OK' || fail "$place: $(cat /run/said)"
	grep -qx "mhnat_uplink_up{$LINE} 1" /run/said || fail "$place: $(cat /run/said)"
done
page ipv4 127.0.0.1 'GET /status' | head -1 | grep -q 404 || fail "the status is for its own socket"
says 'kept so by `mhnat run` since 20' || fail "$(cat /run/said)"
says '1 change' || fail "$(cat /run/said)"

# A link is lost: what goes by it begins anew, and who asked its address waits.
conntrack -I -s 10.9.0.1 -d 10.9.9.9 -p udp --sport 1 --dport 2 -t 100 -m 0x100 >/dev/null 2>&1
conntrack -I -s 10.9.0.3 -d 10.1.0.2 -p udp --sport 1 --dport 2 -t 100 -m 0x100 >/dev/null 2>&1
ip link set far0 down
soon '[ "$(metric "mhnat_uplink_up{$LINE}")" = "mhnat_uplink_up{$LINE} 0" ]' "no word of the lost uplink"
for line in 'mhnat_uplink_transitions_total{L,cause="no-carrier"} 1' 'mhnat_uplink_rehomed_connections_total{L} 1' \
	'mhnat_uplink_stranded_connections{L} 1' 'mhnat_uplink_leaked_packets_total{L} 0'; do
	line=${line/L/$LINE}
	soon '[ "$(metric "${line% *}")" = "$line" ]' "not $line: $(metric "${line% *}")"
done
says 'lost, the interface has no carrier, in force after ' || fail "$(cat /run/said)"
says ', 1 connection began anew, 1 connection waiting here' || fail "$(cat /run/said)"
mhnat status --json | python3 -c '
import json, sys
status = json.load(sys.stdin)
leg = status["uplinks"][0]["legs"]["v4"]
last = leg["history"]["transitions"][-1]
assert (last["usable"], last["cause"]) == (False, "no-carrier"), last
assert 0 < last["milliseconds"] < 10000 and last["time"] == leg["history"]["since"], last
assert (leg["stranded"], leg["history"]["rehomed"], leg["leaked"]) == (1, 1, 0), leg
assert not status["daemon-killed"] and status["daemon"]["started"] <= last["time"], status
' || fail "$(mhnat status --json)"
ip link set far0 up
soon '[ "$(metric "mhnat_uplink_transitions_total{$LINE,cause=\"returned\"}")" ]' "no word of its return"
says ' returned, in force after ' || fail "$(cat /run/said)"

# Another program's work against it is counted, and none of its own.
grep -q . <<<"$(metric 'mhnat_reasserted_total 0')" || fail "$(metric mhnat_reasserted_total)"
ip rule del priority 15900
soon '[ "$(metric "mhnat_reasserted_total 1")" ]' "it was not counted"
cp both.toml /run/mine.toml

# It looks when it is asked to, however that is done.
looks() { metric 'mhnat_looks_total ' | cut -d' ' -f2; }
for way in 'mhnat look' 'kill -USR1 $daemon' "PATH=$(dirname "$MHNAT"):$PATH $HOOK eth0 up"; do
	sleep 0.1
	before=$(looks)
	[ "$before" = "$(looks)" ] || fail "it looks by itself"
	eval "$way" || fail "exit $?: $way"
	soon '[ "$(looks)" = $((before + 1)) ]' "no look by $way: $before, $(looks)"
done

# Whoever is silent or slow keeps nobody waiting.
python3 - <<-'PYTHON' &
	import socket, time
	held = [socket.create_connection(("127.0.0.1", 9469)) for _ in range(7)]
	time.sleep(20)
PYTHON
silent=$!
sleep 0.2
ip link set far0 down
soon '[ "$(metric "mhnat_uplink_up{$LINE} 0")" ]' "the loop waits for silent clients"
kill $silent
ip link set far0 up

# A killed daemon says nothing any more, and nobody takes what it said for true.
soon '[ "$(metric "mhnat_uplink_up{$LINE} 1")" ]' "it is not back"
kill -9 $daemon
wait $daemon || true
says '`mhnat run` was killed: nobody keeps it so' || fail "$(cat /run/said)"
! says 'since 20' || fail "$(cat /run/said)"
mhnat look || fail "exit $?"
# The next one takes its place, at the sockets as well.
start both.toml --metrics unix:/run/metrics.sock --log json
page unix /run/metrics.sock | grep -q '^mhnat_start_time_seconds ' || fail "no metrics"
ip link set far0 down
soon 'grep -q "\"cause\":\"no-carrier\"" /run/log' "no word of it"
ip link set far0 up
soon 'grep -q "\"event\":\"in-force\".*" /run/log && [ "$(grep -c "\"event\":\"carries\"" /run/log)" -gt 4 ]' "no word of its return"
echo 'wrong = ' >>both.toml
kill -HUP $daemon
soon 'grep -q "\"event\":\"kept\"" /run/log' "no word of the mistake"
kill $daemon
wait $daemon || fail "exit $?"
python3 - <<-'PYTHON' || fail "$(cat /run/log)"
	import json, re
	events = [json.loads(line) for line in open("/run/log")]
	assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", it["time"]) for it in events)
	lost = [it for it in events if it["event"] == "lost"]
	assert {"uplink": "first", "family": "ipv4", "level": "info"}.items() <= lost[0].items(), lost
	assert [it for it in events if it["event"] == "kept" and it["level"] == "error" and "wrong" in it["report"]]
PYTHON
[ ! -e /run/metrics.sock ] && [ ! -e /run/mhnat/run.sock ] || fail "sockets are left"
says 'was killed' && fail "it was not"

# To the journal, each line has its priority.
cp /run/mine.toml both.toml
: >/run/journal
JOURNAL_STREAM=$(stat -c %d:%i /run/journal) "$MHNAT" run both.toml >>/run/journal 2>&1 &
daemon=$!
soon 'grep -q "^<6>in force after" /run/journal' "no priority: $(cat /run/journal)"
echo 'wrong = ' >>both.toml
kill -HUP $daemon
soon 'grep -q "^<3>error: .* 1 mistake; the configuration before stays in force" /run/journal' "$(cat /run/journal)"
! grep -v '^<[346]>' /run/journal || fail "lines without a priority"
