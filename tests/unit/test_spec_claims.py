# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.spec.claims import (
    Arithmetic,
    Call,
    ClaimError,
    Negation,
    Number,
    Reference,
    parse_claim,
    references,
)


def test_a_claim_compares_sums_of_products() -> None:
    claim = parse_claim("linux-echo-reuseport.achieved_rps > linux-echo-single.achieved_rps * 0.9")
    assert claim.comparators == (">",)
    assert claim.terms[0] == Reference(variant="linux-echo-reuseport", metric="achieved_rps")
    right = claim.terms[1]
    assert isinstance(right, Arithmetic)
    assert right.operator == "*"
    assert right.right == Number(value=0.9)


def test_products_bind_closer_and_the_left_comes_first() -> None:
    (left, right) = parse_claim("1 - 2 - 3 * 4 < 0").terms
    assert right == Number(value=0)
    one, two, three, four = (Number(value=float(value)) for value in (1, 2, 3, 4))
    assert left == Arithmetic(
        operator="-",
        left=Arithmetic(operator="-", left=one, right=two),
        right=Arithmetic(operator="*", left=three, right=four),
    )


def test_functions_shares_signs_and_chains() -> None:
    claim = parse_claim("-3% < abs(a.x / b.y - 1) <= min(1, 5e-1, 2)")
    assert claim.comparators == ("<", "<=")
    assert claim.terms[0] == Negation(operand=Number(value=0.03))
    assert isinstance(claim.terms[2], Call)
    assert [str(found) for found in references(claim)] == ["a.x", "b.y"]


def test_brackets_choose_points() -> None:
    claim = parse_claim("a.x[load=2000, workload.message=1KiB] > 1")
    (found,) = references(claim)
    assert found.where == (("load", "2000"), ("workload.message", "1KiB"))
    assert str(found) == "a.x[load=2000, workload.message=1KiB]"


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("a.x", 3, "a claim compares"),
        ("a.x >", 5, "the claim ends where a metric or a number should stand"),
        ("a.x > foo(2)", 6, "unknown function 'foo'"),
        ("a.x > (1", 8, "')' is missing"),
        ("a.x > 1 2", 8, "unexpected '2'"),
        ("A.x > 1", 0, "'A.x' is neither a metric"),
        ("a.x[load] > 1", 4, "brackets hold KEY=VALUE"),
        ("abs(1, 2) > 1", 0, "abs takes one argument"),
        ("__import__('os') > 1", 0, "is neither a metric"),
        ("(" * 60 + "1" + ")" * 60 + " > 1", 50, "nested too deeply"),
    ],
)
def test_a_wrong_claim_says_where(text: str, position: int, message: str) -> None:
    with pytest.raises(ClaimError) as caught:
        parse_claim(text)
    assert message in str(caught.value)
    assert caught.value.position == position


@settings(deadline=None)
@given(st.text(alphabet="ab.-1+*/()<>=[], %", max_size=40))
def test_any_text_parses_or_is_a_claim_error(text: str) -> None:
    try:
        claim = parse_claim(text)
    except ClaimError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert len(claim.terms) == len(claim.comparators) + 1
