#!/usr/bin/env python3
"""Recomputes the position of every symbol of a vmlinux among its namesakes.

Reads the ELF file by itself, twice: the symbol table, and the kallsyms tables inside the
image, which are what the running kernel searches. Both must agree with each other and with
the list on standard input: lines of name, address (hexadecimal), position and total, separated
by tabs, one for each function and object that the list's author thinks kallsyms keeps.
"""
import struct
import sys
from collections import defaultdict


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    offset, = struct.unpack_from("<Q", data, 40)
    count, names = struct.unpack_from("<HH", data, 60)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, offset + 64 * i) for i in range(count)]
    symtab = next(s for s in sections if s[1] == 2)
    strings = sections[symtab[6]][4]
    symbols = []
    for i in range(symtab[5] // 24):
        name, info, _, section, value, size = struct.unpack_from("<IBBHQQ", data, symtab[4] + 24 * i)
        end = data.index(b"\0", strings + name)
        symbols.append((data[strings + name:end].decode(), info & 15, section, value))
    return data, sections, symbols


def kallsyms(data, sections, symbols):
    """(address, name) as the kernel will list them, in its order."""
    tables = {name: (section, value) for name, _, section, value in symbols
              if name.startswith("kallsyms_")}

    def at(name):
        section, value = tables[name]
        section = sections[section]
        return section[4] + value - section[3]

    count, = struct.unpack_from("<I", data, at("kallsyms_num_syms"))
    base, = struct.unpack_from("<Q", data, at("kallsyms_relative_base"))
    tokens = []
    for i in range(256):
        start = at("kallsyms_token_table") + struct.unpack_from("<H", data, at("kallsyms_token_index") + 2 * i)[0]
        tokens.append(data[start:data.index(b"\0", start)].decode())
    place, offsets, listed = at("kallsyms_names"), at("kallsyms_offsets"), []
    for i in range(count):
        length = data[place]
        place += 1
        if length & 0x80:
            length = length & 0x7f | data[place] << 7
            place += 1
        text = "".join(tokens[b] for b in data[place:place + length])
        place += length
        offset, = struct.unpack_from("<i", data, offsets + 4 * i)
        listed.append((offset if offset >= 0 else base - 1 - offset, text[1:]))
    return listed


def main():
    data, sections, symbols = read(sys.argv[1])
    listed = kallsyms(data, sections, symbols)
    assert listed == sorted(listed, key=lambda s: s[0]), "kallsyms is not in address order"
    groups = defaultdict(list)
    for address, name in listed:
        groups[name].append(address)
    wrong = []
    given = [line.rstrip("\n").split("\t") for line in sys.stdin]
    for name, address, position, total in given:
        group = groups.get(name, [])
        address, position, total = int(address, 16), int(position), int(total)
        if total != len(group):
            wrong.append(f"{name}: kallsyms lists {len(group)}, not {total}")
        elif not 1 <= position <= total or group[position - 1] != address:
            wrong.append(f"{name}: number {position} is not at {address:#x}")
    # What the list lacks: a function or object of the symbol table that kallsyms keeps.
    have = defaultdict(int)
    for name, address, _, _ in given:
        have[name, int(address, 16)] += 1
    keeps = set((name, address) for address, name in listed)
    for name, kind, section, value in symbols:
        if kind in (1, 2) and section and (name, value) in keeps and not have[name, value]:
            wrong.append(f"{name} at {value:#x} is missing from the list")
    names = set(name for name, *_ in given)
    several = [name for name in names if len(groups[name]) > 1]
    for line in wrong[:20]:
        print(line)
    print(f"{len(given)} symbols, {len(several)} names with several, {len(wrong)} wrong")
    return 1 if wrong or not given else 0


sys.exit(main())
