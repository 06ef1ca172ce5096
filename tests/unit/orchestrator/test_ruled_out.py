from optiinfra.orchestrator.analysis import _count_reasons
from optiinfra.twin.shapes import RuledOut


def test_reasons_that_differ_in_a_size_are_one() -> None:
    ruled_out = (
        RuledOut("T4", "has no bfloat16"),
        RuledOut("H100-SXM tp2 seqs64", "the KV cache holds 1000 tokens, 2000 are needed"),
        RuledOut("H100-SXM tp2 seqs128", "the KV cache holds 900 tokens, 2000 are needed"),
        RuledOut("L4 tp2 seqs64", "the KV cache holds 500 tokens, 2000 are needed"),
    )
    assert _count_reasons(ruled_out) == (
        "3 on H100-SXM, L4: the KV cache holds 1000 tokens, 2000 are needed",
        "1 on T4: has no bfloat16",
    )
