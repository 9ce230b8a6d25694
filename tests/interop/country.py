#!/usr/bin/env python3
"""The database of countries that tests look addresses up in: written by somebody else's writer, read by somebody else's reader.

`write DIRECTORY` makes it, and one of IPv4 alone; `large NETWORKS FILE` one to measure with, `check` holds what MaxMind's own reader finds in the file of the
tests against the table beside it, which the Rust tests hold ours against.

The last column of the table is what the file says of an address, the middle one what a record gets: nothing for addresses that name no place in
the world, whatever the file says.

Prints one closing line. Exit code: 0 clean, 1 findings, 2 could not run.
"""

from __future__ import annotations

import random
import sys
import time
from ipaddress import ip_address
from pathlib import Path

HERE = Path(__file__).resolve().parents[2] / "ingest" / "src" / "country"
DATABASE = HERE / "test.mmdb"
TABLE = HERE / "addresses.tsv"
# When the file says that it was built, so that it is the same each time.
BUILT = 1_795_219_200

NETWORKS = {
    "2.125.160.0/19": "GB",
    "5.0.0.0/8": "DE",
    "5.6.7.0/24": "NL",
    "81.0.0.0/8": "FR",
    "89.160.20.0/24": "SE",
    "203.0.113.0/24": "US",
    # Of no place, and in the file all the same.
    "10.0.0.0/8": "ZZ",
    "100.64.0.0/10": "ZZ",
    "127.0.0.0/8": "ZZ",
    "169.254.0.0/16": "ZZ",
    "172.16.0.0/12": "ZZ",
    "192.168.0.0/16": "ZZ",
    "fc00::/7": "ZZ",
    "fe80::/10": "ZZ",
    "2001:db8:1::/48": "JP",
    "2a02:6b8::/32": "FI",
}


def record(code: str) -> dict[str, object]:
    """As GeoLite2 has it, but for names in further languages."""
    country = {"iso_code": code, "names": {"en": f"Country {code}"}}
    return {"country": country, "registered_country": country}


def made(networks: dict[str, dict[str, object]], path: Path, version: int = 6) -> None:
    from mmdb_writer import MMDBWriter
    from netaddr import IPSet

    time.time = lambda: BUILT  # type: ignore[assignment]
    description = {"en": "Made for the tests of Tachograph"}
    writer = MMDBWriter(
        ip_version=version,
        ipv4_compatible=version == 6,
        database_type="Test-Country",
        languages=["en"],
        description=description,
    )
    # The longer prefix holds: it comes later.
    for network in sorted(networks, key=lambda network: int(network.rsplit("/", 1)[1])):
        writer.insert_network(IPSet([network]), networks[network])
    writer.to_db_file(str(path))


def large(count: int, path: Path) -> None:
    """So many networks of 8 to 24 bits in 250 countries."""
    chance = random.Random(7)
    codes = [f"{chr(65 + at // 26)}{chr(65 + at % 26)}" for at in range(250)]
    networks = {}
    while len(networks) < count:
        bits = chance.choice([16, 18, 20, 22, 24])
        address = chance.getrandbits(32) >> (32 - bits) << (32 - bits)
        networks[f"{ip_address(address)}/{bits}"] = record(chance.choice(codes))
    # So that every address of the corpus is found.
    networks["81.0.0.0/8"] = record("FR")
    made(networks, path)


def check() -> int:
    import maxminddb

    wrong, rows = [], 0
    with maxminddb.open_database(str(DATABASE), maxminddb.MODE_FILE) as reader:
        if reader.metadata().build_epoch != BUILT or reader.metadata().database_type != "Test-Country":
            wrong.append(f"metadata: {reader.metadata()}")
        for line in TABLE.read_text().splitlines():
            if not line or line.startswith("#"):
                continue
            address, _ours, expected = line.split("\t")
            rows += 1
            if expected == "no address":
                continue
            found = reader.get(address)
            code = found["country"]["iso_code"] if isinstance(found, dict) else "-"
            if code != expected:
                wrong.append(f"{address}: {code}, expected {expected}")
    for line in wrong:
        print(line)
    print(f"countries: {rows} addresses, {len(wrong)} findings")
    return 1 if wrong or not rows else 0


def main(arguments: list[str]) -> int:
    match arguments:
        case ["write", directory]:
            networks = {network: record(code) for network, code in NETWORKS.items()}
            made(networks, Path(directory) / "test.mmdb")
            of_ipv4 = {network: found for network, found in networks.items() if ":" not in network}
            made(of_ipv4, Path(directory) / "test-ipv4.mmdb", version=4)
        case ["large", count, file]:
            large(int(count), Path(file))
        case ["check"]:
            return check()
        case _:
            print("usage: country.py write DIRECTORY | large NETWORKS FILE | check", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
