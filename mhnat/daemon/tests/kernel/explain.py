"""Sends real packets and holds what leaves, and what is tracked, against what `mhnat explain` predicts."""

import ipaddress
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

PREDICTED = ["--route", "10.0.0.0/24=lan0", "--route", "2001:db8:10::/64=lan0", "--route", "10.2.0.0/24=eth1"]
ENTRY = {"lan0": "lanfar", "eth0": "far0", "eth1": "far1"}
EXIT = {far: near for near, far in ENTRY.items()}

# (comes in by, source, destination, protocol); the last part of a port is added to each.
TUPLES = [
    ("lan0", "10.0.0.2", "192.0.2.80", "tcp"),
    ("lan0", "10.0.0.2", "192.0.2.80", "udp"),
    ("lan0", "2001:db8:10::2", "2001:db8:77::80", "tcp"),
    ("lan0", "2001:db8:10::2", "2001:db8:77::80", "udp"),
    ("lan0", "10.0.0.2", "192.0.2.1", "tcp"),
    ("lan0", "10.0.0.2", "192.0.2.1", "udp"),
    ("lan0", "2001:db8:10::2", "2001:db8:ff::1", "udp"),
    ("lan0", "10.0.0.2", "10.2.0.7", "udp"),
    ("eth0", "192.0.2.80", "10.0.0.2", "tcp"),
    ("eth0", "192.0.2.80", "10.1.0.2", "udp"),
    ("eth1", "192.0.2.80", "10.2.0.2", "udp"),
    ("eth1", "2001:db8:77::80", "2001:db8:2::2", "udp"),
    (None, "0.0.0.0", "192.0.2.80", "udp"),
    (None, "10.2.0.2", "192.0.2.80", "udp"),
    (None, "0.0.0.0", "192.0.2.1", "udp"),
    (None, "::", "2001:db8:77::80", "udp"),
    (None, "::", "2001:db8:ff::1", "udp"),
    (None, "2001:db8:2::2", "2001:db8:77::80", "udp"),
]


def end(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def explain(tuple_, port, *options, source=None):
    entry, address, to, protocol = tuple_
    address = source or address
    command = [os.environ["MHNAT"], "explain", "both.toml", "--json", "--to", f"{end(to, 443)}/{protocol}"]
    if entry:
        command += ["--in", entry]
    if not ipaddress.ip_address(address).is_unspecified:
        command += ["--from", end(address, port)]
    done = subprocess.run(command + list(options), capture_output=True, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"{command}: {done.returncode} {done.stderr}")
    return done.returncode, json.loads(done.stdout), done.stderr


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def frame(device, source, destination, protocol, port):
    with open(f"/sys/class/net/{device}/address") as file:
        to = bytes.fromhex(file.read().strip().replace(":", ""))
    source, destination = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    number = {"tcp": 6, "udp": 17}[protocol]
    if protocol == "tcp":
        body = struct.pack("!HHIIBBHHH", port, 443, 1000 + port, 0, 5 << 4, 2, 1024, 0, 0)
        at = 16
    else:
        body = struct.pack("!HHHH", port, 443, 12, 0) + b"test"
        at = 6
    pseudo = source.packed + destination.packed + struct.pack("!II", len(body), number)
    body = body[:at] + struct.pack("!H", checksum(pseudo + body)) + body[at + 2:]
    if source.version == 4:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), port, 0, 64, number, 0)
        header += source.packed + destination.packed
        header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
        kind = b"\x08\x00"
    else:
        header = struct.pack("!IHBB", 6 << 28, len(body), number, 64) + source.packed + destination.packed
        kind = b"\x86\xdd"
    return to + b"\x02\0\0\0\0\x99" + kind + header + body


def seen(frame_):
    """Source and destination with their ports of an IP packet."""
    if frame_[12:14] == b"\x08\x00":
        ends = [ipaddress.ip_address(frame_[26:30]), ipaddress.ip_address(frame_[30:34])]
        number, body = frame_[23], frame_[34:]
    elif frame_[12:14] == b"\x86\xdd":
        ends = [ipaddress.ip_address(frame_[22:38]), ipaddress.ip_address(frame_[38:54])]
        number, body = frame_[20], frame_[54:]
    else:
        return None
    if number not in (6, 17):
        return None
    return [(str(address), port) for address, port in zip(ends, struct.unpack("!HH", body[:4]))]


def send(tuple_, port):
    entry, address, to, protocol = tuple_
    if entry:
        taps[ENTRY[entry]].send(frame(entry, address, to, protocol, port))
        return None
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    local = socket.socket(family, socket.SOCK_DGRAM)
    local.bind((address, port))
    local.sendto(b"test", (to, 443))
    return local


def leaving(port, came_by):
    """The device by which the packet with that source port leaves, and its ends there."""
    deadline = time.monotonic() + 2
    while (left := deadline - time.monotonic()) > 0:
        for tap in select.select(list(taps.values()), [], [], left)[0]:
            data, address = tap.recvfrom(2048)
            # What this end sends itself is seen as well; only what arrives has left the other end.
            if address[2] == socket.PACKET_OUTGOING:
                continue
            ends = seen(data)
            if ends and ends[0][1] == port and EXIT[address[0]] != came_by:
                return EXIT[address[0]], ends
    return None


def ends(outcome):
    return [(outcome[it]["address"], outcome[it]["port"]) for it in ("source", "destination")]


taps = {}
for far in EXIT:
    taps[far] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    taps[far].bind((far, 0))

wrong = []
for number, tuple_ in enumerate(TUPLES):
    port = 30001 + number
    code, live, stderr = explain(tuple_, port, "--live")
    if code != 0:
        wrong.append(f"{tuple_}: before the packet: {stderr}")
        continue
    predicted = live["outcomes"][0]
    _, offline, _ = explain(tuple_, port, *PREDICTED)
    offline = offline["outcomes"][0]
    fate = predicted["fate"]
    keep = send(tuple_, port)
    device = fate["leaves"]["device"] if isinstance(fate, dict) and "leaves" in fate else None
    if device:
        found = leaving(port, tuple_[0])
        expected = [it if it[1] is not None else (it[0], port) for it in ends(predicted)]
        if found != (device, expected):
            wrong.append(f"{tuple_}: predicted {device} {expected}, and {found} was seen")
    elif fate != "delivered":
        wrong.append(f"{tuple_}: {fate}")
    for what in ("fate", "source", "destination", "mark", "connection_mark"):
        if offline[what] != predicted[what]:
            wrong.append(f"{tuple_}: {what} without the kernel {offline[what]}, with it {predicted[what]}")
    if predicted["not_understood"] or offline["not_understood"]:
        wrong.append(f"{tuple_}: not understood {predicted['not_understood']}")
    # Now that it is tracked: as a new one, and as what the kernel says that it is.
    source = tuple_[1]
    if ipaddress.ip_address(source).is_unspecified:
        source = {4: "10.1.0.2", 6: "2001:db8:1::2"}[ipaddress.ip_address(source).version]
    for options in (["--live"], ["--live", "--new"]):
        code, after, stderr = explain(tuple_, port, *options, source=source)
        if code != 0:
            wrong.append(f"{tuple_} {options}: {stderr}")
        elif after["live"].get("entry") is None:
            wrong.append(f"{tuple_} {options}: not tracked")
        elif after["live"]["entry"]["mark"] != predicted["connection_mark"]:
            wrong.append(f"{tuple_} {options}: mark {after['live']['entry']['mark']:#x}")
        elif after["outcomes"][0]["fate"] != fate and tuple_[0]:
            wrong.append(f"{tuple_} {options}: {after['outcomes'][0]['fate']}, before {fate}")
    print("ok" if not wrong else "wrong so far", tuple_, fate, ends(predicted))
    if keep:
        keep.close()

if wrong:
    sys.exit("\n".join(wrong))

# And where the kernel is made to differ, it is said.
subprocess.run(["ip", "route", "flush", "table", "10902"], check=True)
code, report, stderr = explain(TUPLES[4], 31000, "--live")
if code != 1 or "routing: predicted eth1" not in stderr or not report["live"]["differences"]:
    sys.exit(f"a lost route is not missed: {code} {stderr}")
# Without source translation, and without the guard that would keep such a packet here.
for chain in ("nat_postrouting", "guard"):
    subprocess.run(["nft", "flush", "chain", "inet", "mhnat", chain], check=True)
send(TUPLES[0], 31001)
leaving(31001, "lan0")
code, report, stderr = explain(TUPLES[0], 31001, "--live")
if code != 1 or "translation: a new connection would be 10.1.0.2:31001" not in stderr:
    sys.exit(f"an untranslated connection is not missed: {code} {stderr}")
