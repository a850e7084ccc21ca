#!/usr/bin/env python3
"""Prints every rule of the namespace's iptables tables twice: as iptables-save has it and as the
attributes of the kernel's NFT_MSG_NEWRULE. Run it where nothing else writes:

    unshare -n python3 capture.py RULES.v4 RULES.v6 [NFACCT-NAME...] > CAPTURE

Sets that the rules match on are to be made before (`ipset restore`).

Each rule takes two lines, `ip|ip6 TABLE -A CHAIN ...` and the attributes in hex, where `(N)` is a
run of N zero bytes.
"""

import re
import socket
import struct
import subprocess
import sys

NFNL_SUBSYS_ACCT, NFNL_SUBSYS_NFTABLES, GETRULE = 7, 10, 7


def netlink():
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    sock.bind((0, 0))
    return sock


def create_nfacct(name):
    payload = name.encode() + b"\0"
    attr = struct.pack("=HH", 4 + len(payload), 1) + payload
    attr += b"\0" * (-len(attr) % 4)
    header = struct.pack("=IHHII", 20 + len(attr), NFNL_SUBSYS_ACCT << 8, 0x405, 1, 0)
    with netlink() as sock:
        sock.send(header + struct.pack("=BBH", 2, 0, 0) + attr)
        (error,) = struct.unpack_from("=i", sock.recv(4096), 16)
    if error:
        sys.exit(f"nfacct {name}: errno {-error}")


def attributes(data):
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def rules(family):
    header = struct.pack("=IHHII", 20, NFNL_SUBSYS_NFTABLES << 8 | GETRULE, 0x301, 1, 0)
    with netlink() as sock:
        sock.send(header + struct.pack("=BBH", family, 0, 0))
        while True:
            data, offset = sock.recv(1 << 17), 0
            while offset < len(data):
                length, kind = struct.unpack_from("=IH", data, offset)
                if kind in (2, 3):
                    return
                body = data[offset + 20 : offset + length]
                found = dict(attributes(body))
                yield found[1].rstrip(b"\0").decode(), found[2].rstrip(b"\0").decode(), body
                offset += (length + 3) & ~3


def saved(command):
    table, lines = None, {}
    for line in subprocess.run([command], check=True, capture_output=True, text=True).stdout.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A "):
            lines.setdefault((table, line.split()[1]), []).append(line)
    return lines


def compact(data):
    pattern = re.compile(rb"\0{8,}")
    end, out = 0, []
    for run in pattern.finditer(data):
        out += [data[end : run.start()].hex(), f"({run.end() - run.start()})"]
        end = run.end()
    return "".join(out) + data[end:].hex()


def main():
    for name in sys.argv[3:]:
        create_nfacct(name)
    version = subprocess.run(["iptables-nft", "--version"], capture_output=True, text=True).stdout
    print(f"# capture.py {' '.join(sys.argv[1:])}; {version.strip()}; kernel {open('/proc/sys/kernel/osrelease').read().strip()}")
    for number, name, tools, path in ((2, "ip", "iptables", sys.argv[1]), (10, "ip6", "ip6tables", sys.argv[2])):
        with open(path, encoding="utf-8") as file:
            subprocess.run([f"{tools}-nft-restore"], stdin=file, check=True)
        lines = saved(f"{tools}-nft-save")
        for table, chain, body in rules(number):
            print(name, table, lines[table, chain].pop(0))
            print(compact(body))


main()
