"""Proofs for receipts that have become files: a small file beside each.

The receipt itself stays as the standard prescribes. A proof is not written with each receipt:
making a file costs more than deciding a parcel.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg

from tongguan import store
from tongguan.clearance.pack import canonical
from tongguan.sharing import evidence

PROOF_SUFFIX = ".proof.json"
AT_ONCE = 500
_NAME = re.compile(r"(\d{12,})-CEB\d{3}\.xml")


def prove_files(
    conn: psycopg.Connection, vault: store.Vault, paths: Sequence[Path]
) -> tuple[int, list[str]]:
    """Write the proofs of receipt files under the last head; how many, and what could not be.

    paths: files as ``--receipts`` writes them, or folders of them.
    """
    files = list(_files(paths))
    done, problems = 0, []
    for start in range(0, len(files), AT_ONCE):
        part = files[start : start + AT_ONCE]
        named = {path: _NAME.fullmatch(path.name) for path in part}
        numbers = {path: int(match[1]) for path, match in named.items() if match}
        problems += [f"{path}: not named as a receipt file is" for path in part if not named[path]]
        stored = _stored(conn, vault, list(numbers.values()))
        batches = {number: batch_id for number, (batch_id, _) in stored.items()}
        places = evidence.positions(conn, evidence.RECEIPT, batches)
        proofs = evidence.proofs_of(conn, list(places.values())) if places else {}
        for path, number in numbers.items():
            if stored.get(number, (0, b""))[1] != path.read_bytes():
                problems.append(f"{path}: not a receipt of this database")
            elif number not in places:
                problems.append(f"{path}: it was told before the log began")
            else:
                facts = {"receipt": number, "proof": proofs[places[number]]}
                path.with_name(path.name + PROOF_SUFFIX).write_bytes(canonical(facts) + b"\n")
                done += 1
    return done, problems


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.iterdir() if _NAME.fullmatch(each.name))
        else:
            yield path


def _stored(
    conn: psycopg.Connection, vault: store.Vault, numbers: list[int]
) -> dict[int, tuple[int, bytes]]:
    """Batch and text of receipts by number."""
    sql = "SELECT id, batch_id, xml, sealed FROM receipt WHERE id = ANY(%s)"
    return {
        number: (batch_id, xml.encode() if sealed is None else vault.unseal(sealed))
        for number, batch_id, xml, sealed in conn.execute(sql, (numbers,))
    }
