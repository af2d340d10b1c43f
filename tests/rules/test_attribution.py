import hashlib
from itertools import pairwise
from itertools import permutations as orders

from hypothesis import given, settings
from hypothesis import strategies as st

from prsm_protocol.rules import attribution
from prsm_protocol.rules.integer_layers import IntegerNetwork, Layer, run
from prsm_protocol.rules.statistics import CounterStream

SEED = hashlib.sha256(b"a table").digest()
word = st.integers(-(2**14), 2**14)


@st.composite
def network(draw, linear=False):
    sizes = [draw(st.integers(1, 4)) for _ in range(2 if linear else 3)]
    layers = tuple(
        Layer(
            tuple(tuple(draw(word) for _ in range(inputs)) for _ in range(outputs)),
            tuple(draw(st.integers(-(2**24), 2**24)) for _ in range(outputs)),
            number < len(sizes) - 2,
        )
        for number, (inputs, outputs) in enumerate(pairwise(sizes))
    )
    x = [draw(word) for _ in range(sizes[0])]
    baseline = [draw(word) for _ in range(sizes[0])]
    return IntegerNetwork(10, layers), x, baseline, draw(st.integers(0, sizes[-1] - 1))


@given(network(linear=True))
def test_linear_attributions_sum_to_the_difference(case):
    net, x, baseline, output = case
    assert net.is_linear
    found = attribution.attribute_linear(net, x, baseline, output)
    assert sum(found.features) == found.fx - found.fb
    assert (found.fx + 2**9) >> 10 == run(net, x)[output]


@settings(max_examples=40)
@given(network(), st.integers(0, 1000))
def test_permutation_attributions_sum_to_the_difference(case, row):
    net, x, baseline, output = case
    found = attribution.attribute_permutations(net, x, baseline, seed=SEED, row=row, output=output, permutations=8)
    assert sum(found.features) == 8 * (found.fx - found.fb)
    assert found.fx == run(net, x)[output]
    assert found.fb == run(net, baseline)[output]


def test_permutation_attributions_equal_a_walk_written_out():
    net = IntegerNetwork(
        10,
        (
            Layer(((900, -400, 30), (-70, 800, 500)), (12_000, -9_000), True),
            Layer(((1100, -700),), (333_000,), False),
        ),
    )
    x, baseline, sums = [1500, -700, 90], [10, 20, -400], [0, 0, 0]
    for number in range(5):
        current = list(baseline)
        for feature in attribution.permutation(SEED, 4, number, 3):
            before = run(net, current)[0]
            current[feature] = x[feature]
            sums[feature] += run(net, current)[0] - before
    found = attribution.attribute_permutations(net, x, baseline, seed=SEED, row=4, permutations=5)
    assert list(found.features) == sums


def test_permutation_follows_the_byte_recipe():
    stream = CounterStream(b"prsm/attribution", SEED, 3, 9)
    order = [0, 1, 2, 3]
    for k in (3, 2, 1):
        other = stream.below(k + 1)
        order[k], order[other] = order[other], order[k]
    assert attribution.permutation(SEED, 3, 9, 4) == order


def test_every_order_occurs():
    seen = {tuple(attribution.permutation(SEED, 0, number, 3)) for number in range(200)}
    assert seen == set(orders(range(3)))


def test_standard_error_is_that_of_a_mean():
    # marginals 1, 3, 5, 7: variance of the mean = (20 / 3) / 4
    assert attribution.standard_errors([1600], [(100**2) * (1 + 9 + 25 + 49)], 4) == (129,)


def test_ranking_puts_the_strongest_first_and_ties_by_index():
    assert attribution.ranking([[1, -5, 2, 0], [-1, 4, 0, 2]]) == [1, 0, 2, 3]
