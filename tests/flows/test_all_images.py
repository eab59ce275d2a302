"""A search whose last training sees the validation images too."""

import json

from memnas_core.data import open_dataset
from memnas_core.results.folder import SearchFolder
from tests.flows.conftest import Place
from tests.flows.test_search_limits import settings


def test_the_retraining_sees_all_images_and_the_validation_accuracy_is_the_searchs(
    place: Place, prefect_server: dict[str, str]
) -> None:
    overrides = settings("final.all_images=true", "final.epochs=3", "search.rounds=1", "search.top_k=2")
    running = place.start(*overrides, environment=prefect_server)
    running.finish()
    said = "3 epochs, on the training and the validation images together."
    assert f"Retraining it from nothing for {said}" in running.text()
    (folder,) = place.result.parents[1].glob("data/*/dataset.json")
    data = open_dataset(folder.parent)
    images = len(data.train.labels) + len(data.validation.labels)
    record = json.loads((place.result / "chosen" / "training.json").read_text())
    assert record["images_seen"] == 3 * (images // 32) * 32
    assert record["validation_accuracy"] is record["validation_counts"] is None
    found = SearchFolder(place.result)
    chosen = found.read_chosen()
    (row,) = (row for _, rows in found.rounds() for row in rows if row.training_key and row.arch_id == chosen.arch_id)
    assert chosen.validation_accuracy == row.measured_accuracy
    report = " ".join(found.report.read_text().split())
    assert "validation accuracy in the search</span>" in report
    assert said in report
