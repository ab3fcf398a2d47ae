"""`coarsecon plugins` lists everything installed by kind, and reports what is broken."""

import json

from coarsecon import registry


def test_every_kind_is_listed_with_its_distribution_and_version(coarsecon):
    rows = json.loads(coarsecon("plugins", "--json", "-").out)
    found = {(row["kind"], row["name"]): row for row in rows}
    for known in (("method", "maskcon"), ("dataset", "toy"), ("command", "plugins")):
        assert found[known]["distribution"] == "coarsecon"
        assert found[known]["version"]
        assert found[known]["problem"] == ""
    assert {row["kind"] for row in rows} <= set(registry.KINDS.values())
    shown = coarsecon("plugins").out
    assert all(row["name"] in shown for row in rows)


def test_a_broken_plugin_is_reported_in_one_line_with_its_distribution(install_plugin, coarsecon):
    install_plugin("bad-exporter", "xyz", "import no_such_package\n", group=registry.EXPORTERS)
    install_plugin("good-exporter", "fine", "class Mine: pass\n", group=registry.EXPORTERS)
    done = coarsecon("plugins", "--json", "-")
    assert done.code == 0
    found = {row["name"]: row for row in json.loads(done.out)}
    assert found["xyz"] == {
        "kind": "exporter", "name": "xyz", "distribution": "bad-exporter", "version": "1.0", "summary": "",
        "problem": "it needs no_such_package, which is not installed",
    }  # fmt: skip
    assert found["fine"]["problem"] == ""
