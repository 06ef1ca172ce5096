from dataclasses import replace

import pytest
from tests.factories.analysis import make_deployment
from tests.factories.fleet import make_offer

from optiinfra.agents.cost.changes import describe_title, invert, list_changes
from optiinfra.domain.analysis import Configuration, FlagChange
from optiinfra.domain.prices import PurchaseOption


def make_configuration(gpu: str, num_replicas: int, size: int) -> Configuration:
    today = make_deployment().today.configuration
    arguments = replace(today.arguments, tensor_parallel_size=size)
    return replace(today, gpu=gpu, num_replicas=num_replicas, arguments=arguments)


@pytest.mark.parametrize(
    ("old", "new", "title"),
    [
        (("A", 4, 1), ("A", 3, 1), "Serve chat with 3 instead of 4 replicas on A"),
        (("A", 1, 1), ("A", 2, 1), "Serve chat with 2 instead of 1 replica on A"),
        (("A", 4, 2), ("A", 4, 1),
         "Serve chat with 4 replicas of 1 GPU instead of 4 of 2 GPUs on A"),
        (("A", 4, 1), ("B", 2, 1), "Move chat from 4 replicas on A to 2 on B"),
        (("A", 4, 1), ("B", 2, 2), "Move chat from 4 replicas of 1 GPU on A to 2 of 2 GPUs on B"),
    ],
)  # fmt: skip
def test_titles(old: tuple[str, int, int], new: tuple[str, int, int], title: str) -> None:
    assert describe_title("chat", make_configuration(*old), make_configuration(*new)) == title


def test_another_region_or_purchase_option_is_another_instance() -> None:
    today = make_configuration("A", 4, 1)
    offer = make_offer("A", cloud="aws", instance_type="p5")
    spot = replace(offer, purchase_option=PurchaseOption.SPOT)
    east = replace(offer, region="us-east-1")
    before, after = (replace(today, offer=own) for own in (spot, east))
    (change,) = list_changes(before, after)
    assert change == FlagChange("instance", "aws p5 (spot)", "aws p5 in us-east-1")
    assert list_changes(after, before) == invert((change,))
    title = describe_title("chat", before, after)
    assert title.endswith("on aws p5 in us-east-1 instead of aws p5 (spot)")


def test_other_arguments_alone() -> None:
    before = make_configuration("A", 4, 1)
    after = replace(before, arguments=replace(before.arguments, max_num_seqs=7))
    assert describe_title("chat", before, after) == "Run chat with other engine arguments on A"
