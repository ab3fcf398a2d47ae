"""Check the installation: versions, device, extras, plugins, and a self-test."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from coarsecon import registry
from coarsecon.cli.console import emit_json, facts, table
from coarsecon.cli.options import Device, JsonFile
from coarsecon.errors import CoarseconError

if TYPE_CHECKING:
    from coarsecon.report.installation import Extra

GIB = 2**30


def doctor(device: Device = "auto", json: JsonFile = None) -> None:
    """Versions, device, precision, memory, missing extras, and a self-test of some seconds; exit code 1 if it fails."""
    from coarsecon.report import installation as library
    from coarsecon.runtime.device import choose_device

    chosen = choose_device(device)
    versions, machine, extras = library.versions(), library.machine(chosen), library.extras()
    checks, problems = library.self_test(chosen), registry.problems()
    if json:
        rows = [{"name": each.name, "present": each.is_present, "packages": each.packages} for each in extras]
        report = {
            "versions": versions, "machine": machine, "extras": rows, "plugins": problems,
            "checks": [asdict(each) for each in checks],
        }  # fmt: skip
        emit_json(report, json)
    if json != "-":
        facts({name: found or "missing" for name, found in versions.items()})
        facts(_machine(machine))
        facts({"plugins": "\n".join(problems)})
        table("Extras", ["name", "state", "install with"], [_extra(each) for each in extras], numbers=False)
        cells = [
            (each.name, "passed" if each.passed else "FAILED", f"{each.seconds:.1f} s", each.message) for each in checks
        ]
        table("Self-test", ["check", "result", "time", "message"], cells, numbers=False)
    if outdated := library.outdated():
        raise CoarseconError(f"{'; '.join(outdated)}. Upgrade with pip install -U coarsecon")
    failed = [f"{each.name}: {each.message}" for each in checks if not each.passed]
    if failed:
        raise CoarseconError(f"the self-test failed: {'; '.join(failed)}")


def _machine(machine: dict[str, Any]) -> dict[str, str]:
    """Return the facts about the machine, as they are printed."""
    faster = machine["precision"] == "bfloat16"
    return {
        "platform": machine["platform"],
        "device": f"{machine['device']} ({machine['device_name']})",
        "precision": "bfloat16, which is faster on this device"
        if faster
        else "float32; bfloat16 is not faster on this device",
        "threads": f"{machine['threads']} of torch, {machine['processors']} processors",
        "memory": _amount(machine["memory"]),
        "device memory": _amount(machine["device_memory"]),
    }


def _amount(memory: dict[str, int] | None) -> str:
    return f"{memory['available'] / GIB:.1f} of {memory['total'] / GIB:.1f} GiB available" if memory else ""


def _extra(extra: "Extra") -> tuple[str, str, str]:
    missing = [package for package, found in extra.packages.items() if found is None]
    if missing:
        return extra.name, f"without {', '.join(missing)}", f"pip install 'coarsecon[{extra.name}]'"
    return extra.name, ", ".join(f"{package} {found}" for package, found in extra.packages.items()), ""
