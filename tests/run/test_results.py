"""Result files of a run as readers get them."""

import json

from coarsecon.run.folder import RunFolder
from coarsecon.run.results import read_results


def test_fine_within_coarse_of_older_results_is_that_of_all_queries(tmp_path):
    run = RunFolder(tmp_path)
    run.results.mkdir()
    old = {"split": "test", "fine_within_coarse": {"recall@1": 0.5, "queries": 4, "classes": 2}}
    new = {"fine_within_coarse": {"recall@1": 0.25, "queries": 2, "classes": 2, "coarse_classes": 1}}
    for name, record in (("retrieve", old), ("retrieve-in-train", new)):
        (run.results / f"{name}.json").write_text(json.dumps(record))
    current, read = read_results(run)
    assert read.values == {"fine_within_coarse_all_queries": old["fine_within_coarse"]}
    assert current.values == new
