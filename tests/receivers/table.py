"""Writes docs/receivers.md: the table, the errors of each receiver, and the cookbook with its files."""

import datetime
import itertools
import pathlib

from receivers import ABSENT, NOTES, RECEIVERS

HERE = pathlib.Path(__file__).resolve().parent
MISSED = ("must_missed", "should_missed", "misread")
LABELS = {"must_missed": "MUST missed", "should_missed": "SHOULD missed", "misread": "misread"}
COLUMNS = ["receiver", "version", "MUST missed", "SHOULD missed", "misread", "split header", "v1", "v2", "TLVs", "CRC32C verified", "LOCAL",
           "strangers refused"]
LANGUAGES = {"yaml": "yaml", "yml": "yaml", "py": "python", "js": "js", "go": "go", "java": "java", "rs": "rust", "rb": "ruby"}


def write(results, path):
    ordered = [(receiver, next(result for result in results if result["name"] == receiver.name)) for receiver in RECEIVERS]
    text = (HERE / "cookbook.md").read_text()
    parts = {"@table": table(ordered), "@details": details([result for _, result in ordered]), "@date": f"{datetime.date.today()}"}
    lines, begun = [], set()
    for line in text.splitlines():
        if line.startswith("@file "):
            name = line.split()[1]
            # Above the first file of a receiver: the packages to install, and the command that starts it.
            if (folder := name.split("/")[0]) not in begun:
                begun.add(folder)
                lines += [start(receiver) for receiver in RECEIVERS if receiver.name == folder]
            lines.append(file(name))
        else:
            lines.append(next((line.replace(mark, part) for mark, part in parts.items() if mark in line), line))
    path.write_text("\n".join(lines) + "\n")


def start(receiver):
    """The packages to install, and the command, as typed in the folder of the files."""
    command = receiver.command
    for place in ("{venv}/bin/", "HOME={dir} ", "NODE_PATH={node}/node_modules ", "{dir}/exim/usr/sbin/"):
        command = command.replace(place, "")
    kinds = {"Debian": receiver.apt or (["exim4-daemon-heavy"] if receiver.name == "exim" else []), "PyPI": receiver.pip, "npm": receiver.npm}
    packages = "; ".join(f"{kind}'s {' '.join(names)}" for kind, names in kinds.items() if names)
    return f"Install {packages}, and start it with `{command.replace('{dir}', '$PWD')}`.\n"


def file(name):
    """A file of a test, unchanged."""
    text = (HERE / name).read_text()
    language = LANGUAGES.get(name.rsplit(".")[-1], "")
    return f"<!-- tests/receivers/{name} -->\n```{language}\n{text.rstrip()}\n```"


def table(ordered):
    rows = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for group, members in itertools.groupby(ordered, lambda pair: pair[0].group):
        rows.append(f"| **{group}** |" + " |" * (len(COLUMNS) - 1))
        rows += [row(receiver, result) for receiver, result in members]
    rows += [f"| {name} | not tested: {why} |" + " |" * (len(COLUMNS) - 2) for name, why in ABSENT.items()]
    return "\n".join(rows)


def row(receiver, result):
    report = result["report"]
    if not report:
        return f"| {receiver.title} | {result['version']} | unknown: {reason(result)} |" + " |" * (len(COLUMNS) - 3)
    cases = report["cases"]
    counts = report["counts"]
    split = [case for case in cases if case["delivery"] in ("bytewise", "split", "held") and case["expect"] == "accept"]
    outcome = {case["id"]: case.get("outcome") for case in cases}
    crc = {"accepted": "no", None: "–"}.get(outcome.get("v2-crc32c-wrong"), "yes") if outcome.get("v2-crc32c") else "–"
    cells = [receiver.title, result["version"], *(str(counts[name]) for name in MISSED),
             some(split), *("yes" if version in report["versions"] else "no" for version in (1, 2)),
             share(of(cases, "v2 TLVs", "v2 SSL", expect="accept")), crc, share(of(cases, "v2 LOCAL", expect="accept")),
             share(of(cases, "strangers", expect="reject"))]
    return "| " + " | ".join(cells) + " |"


def reason(result):
    error = result["error"]
    return (error if isinstance(error, str) else " ".join(error)).replace("|", "/")[:200]


def of(cases, *groups, expect):
    return [case for case in cases if case["group"] in groups and case["expect"] == expect]


def share(cases):
    """Whether all of these were passed, or how many."""
    asked = [case for case in cases if case["verdict"] != "skipped"]
    passed = sum(case["verdict"] == "passed" for case in asked)
    if not asked:
        return "–"
    return {len(asked): "yes", 0: "no"}.get(passed, f"{passed} of {len(asked)}")


def some(cases):
    """As `share`, without the number: how many of the pieces a receiver reads at once depends on when it runs."""
    word = share(cases)
    return "some" if " of " in word else word


def details(results, limit=3):
    titles = {receiver.name: receiver.title for receiver in RECEIVERS}
    return "\n\n".join(detail(titles[result["name"]], result, limit) for result in results)


def detail(title, result, limit):
    lines = [f"### {title} {result['version']}", ""]
    if note := NOTES.get(result["name"]):
        lines += [note, ""]
    if not result["report"]:
        return "\n".join([*lines, f"Unknown, because {reason(result)}"])
    # A header that is wrongly refused in one delivery is refused in the others too.
    missed = [case for case in result["report"]["cases"]
              if case["verdict"] in MISSED and (case["delivery"] == "together" or case["expect"] == "accept")]
    if not missed:
        return "\n".join([*lines, "Misses nothing."])

    def key(case):
        # Put deliveries at the end, all together.
        group = case["group"] if case["delivery"] == "together" else "~deliveries"
        return (group, case["verdict"], case["outcome"])

    for (group, verdict, outcome), members in itertools.groupby(sorted(missed, key=key), key):
        members = list(members)
        ids = ", ".join(f"`{case['id']}`" for case in members[:limit])
        more = f" and {len(members) - limit} more" if limit and len(members) > limit else ""
        first = members[0]
        lines.append(f"- {LABELS[verdict]}, {group.lstrip('~')}: {ids}{more}: {outcome}. Such as {bytes_of(first)}" + shown(first))
    return "\n".join(lines)


def bytes_of(case):
    """The bytes of a header: a line as text, a binary one in hexadecimal."""
    if not case["length"]:
        return "no header at all"
    digits = case["bytes"].split("<")[0]
    raw = bytes.fromhex(digits)
    is_text = all(32 <= byte < 127 or byte in (13, 10, 9, 0) for byte in raw) and not raw.startswith(b"\r\n\r\n\0")
    more = "…" if case["length"] > (72 if is_text else 44) else ""
    if is_text:
        return "`" + repr(raw[:72])[2:-1].replace("`", "'") + more + "`"
    return "`" + digits[:88] + more + "`"


def shown(case):
    """How a misread header was read."""
    words = case["happened"]
    return ": " + words.split("misread: ", 1)[1].split(";")[0].split(", with")[0] + "." if case["verdict"] == "misread" else "."
