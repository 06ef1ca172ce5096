"""A change as a diff of flags, in each engine's spelling, and its inverse."""

import pytest

from optiinfra.domain.analysis import FlagChange
from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.engine_flags import (
    ARGUMENT_FIELDS,
    diff_arguments,
    list_flag_words,
    normalize_flag,
    set_arguments,
)


def make_arguments(engine: Engine = Engine.VLLM, *said: str) -> EngineArguments:
    return EngineArguments(
        engine=engine,
        version="1.0",
        max_num_seqs=256,
        max_num_batched_tokens=2048,
        gpu_memory_utilization=0.9,
        max_model_len=8192,
        assumed=tuple(name for name in ARGUMENT_FIELDS if name not in said),
    )


def test_nothing_changed_is_no_change() -> None:
    assert diff_arguments(make_arguments(), make_arguments()) == ()


def test_set_and_unset_in_vllm_words() -> None:
    before = make_arguments(Engine.VLLM, "max_num_seqs")
    after = set_arguments(before, max_num_seqs=96, max_num_batched_tokens=512)
    assert diff_arguments(before, after) == (
        FlagChange("--max-num-seqs", "256", "96"),
        FlagChange("--max-num-batched-tokens", None, "512"),
    )
    assert diff_arguments(after, before) == (
        FlagChange("--max-num-seqs", "96", "256"),
        FlagChange("--max-num-batched-tokens", "512", None),
    )


def test_a_switch_changes_its_name() -> None:
    before = make_arguments(Engine.VLLM, "has_prefix_caching")
    after = set_arguments(before, has_prefix_caching=False)
    assert diff_arguments(before, after) == (
        FlagChange("--enable-prefix-caching", "set", None),
        FlagChange("--no-enable-prefix-caching", None, "set"),
    )
    assert diff_arguments(make_arguments(), after) == (
        FlagChange("--no-enable-prefix-caching", None, "set"),
    )


@pytest.mark.parametrize(
    ("engine", "changes"),
    [
        (
            Engine.SGLANG,
            (
                FlagChange("--tp-size", None, "2"),
                FlagChange("--max-running-requests", None, "96"),
                FlagChange("--mem-fraction-static", None, "0.81"),
                FlagChange("--disable-radix-cache", None, "set"),
            ),
        ),
        (
            Engine.TGI,
            (
                FlagChange("--num-shard", None, "2"),
                FlagChange("--max-batch-size", None, "96"),
                FlagChange("--cuda-memory-fraction", None, "0.9"),  # 0.81 of the GPU
                FlagChange("PREFIX_CACHING=0", None, "set"),
            ),
        ),
    ],
)
def test_other_engines_words(engine: Engine, changes: tuple[FlagChange, ...]) -> None:
    before = make_arguments(engine)
    after = set_arguments(
        before,
        tensor_parallel_size=2,
        max_num_seqs=96,
        gpu_memory_utilization=0.81,
        has_prefix_caching=False,
    )
    assert diff_arguments(before, after) == changes


def test_two_defaults_that_differ_are_written_out() -> None:
    other = EngineArguments(
        engine=Engine.VLLM,
        version="1.0",
        max_num_seqs=1024,
        max_num_batched_tokens=2048,
        gpu_memory_utilization=0.9,
        max_model_len=8192,
        assumed=ARGUMENT_FIELDS,
    )
    assert diff_arguments(make_arguments(), other) == (FlagChange("--max-num-seqs", "256", "1024"),)


def test_a_change_that_no_flag_can_make_is_an_error() -> None:
    with pytest.raises(ValueError, match="engine"):
        diff_arguments(make_arguments(), make_arguments(Engine.TGI))
    after = set_arguments(make_arguments(Engine.TGI), data_parallel_size=2)
    with pytest.raises(ValueError, match="data_parallel_size"):
        diff_arguments(make_arguments(Engine.TGI), after)


def test_words_put_variables_first_and_leave_out_what_is_assumed() -> None:
    arguments = set_arguments(
        make_arguments(Engine.TGI), tensor_parallel_size=2, has_prefix_caching=False
    )
    assert list_flag_words(arguments) == ("PREFIX_CACHING=0", "--num-shard", "2")
    assert list_flag_words(make_arguments()) == ()


def test_normal_form() -> None:
    forms = ("--max-num-seqs", "max_num_seqs", "MAX_NUM_SEQS=4", "--max_num_seqs")
    assert {normalize_flag(form) for form in forms} == {"max-num-seqs"}
