settle
snapshot >/run/before
mhnat apply both.toml
snapshot >/run/both

# Another network namespace with the same directory: nothing is touched.
for command in 'apply both.toml' status down 'plan --diff both.toml'; do
	status=0
	unshare --net "$MHNAT" $command 2>/run/said || status=$?
	[ $status = 1 ] || fail "$command: exit $status: $(cat /run/said)"
	grep -q 'is about another network namespace (hint: give each namespace' /run/said || fail "$(cat /run/said)"
done
snapshot >/run/now
same /run/both /run/now "a refusal touched something"

# Another format.
cp /run/mhnat/state.json /run/state
sed -i 's/"version": 3/"version": 1/' /run/mhnat/state.json
status=0
mhnat down 2>/run/said || status=$?
[ $status = 1 ] || fail "exit $status: $(cat /run/said)"
grep -q 'has format 1, and this mhnat writes format 3' /run/said || fail "$(cat /run/said)"
echo nonsense >/run/mhnat/state.json
status=0
mhnat down 2>/run/said || status=$?
[ $status = 1 ] || fail "exit $status: $(cat /run/said)"
grep -q 'cannot make sense of /run/mhnat/state.json' /run/said || fail "$(cat /run/said)"
cp /run/state /run/mhnat/state.json
mhnat down
snapshot >/run/after
same /run/before /run/after "down left something"

# A reboot with a state directory that outlives it: what it says of sysctls is not of this boot.
sed 's/"boot": "[^"]*"/"boot": "11111111-2222-3333-4444-555555555555"/' /run/state >/run/mhnat/state.json
grep -q '"net/ipv4/conf/eth1/rp_filter": "1"' /run/mhnat/state.json || fail "no former value to be wrong"
sysctl -qw net.ipv4.conf.eth1.rp_filter=0
[ "$(mhnat status 2>/run/said)" = "nothing is applied" ] || fail "a state of another boot counts"
grep -q 'an earlier boot left a state' /run/said || fail "$(cat /run/said)"
[ "$(mhnat down)" = "nothing to take back" ] || fail "a state of another boot is taken back"
[ "$(sysctl -n net.ipv4.conf.eth1.rp_filter)" = 0 ] || fail "a sysctl of another boot was restored"
[ ! -e /run/mhnat/state.json ] || fail "a state of another boot stays"
sysctl -qw net.ipv4.conf.eth1.rp_filter=1
sed 's/"boot": "[^"]*"/"boot": "11111111-2222-3333-4444-555555555555"/' /run/state >/run/mhnat/state.json
mhnat apply both.toml
snapshot >/run/now
sort /run/now >/run/now.sorted
sort /run/both >/run/both.sorted
same /run/both.sorted /run/now.sorted "a state of another boot shows through"
mhnat down
snapshot >/run/after
same /run/before /run/after "down left something"

# What mhnat starts must not hold its lock.
wrap 'ls -l /proc/self/fd >>/run/descriptors'
mhnat apply both.toml --nft /run/nft
grep -q mhnat/lock /run/descriptors && fail "nft has the lock: $(cat /run/descriptors)"
[ -s /run/descriptors ] || fail "nothing was listed"
mhnat down
